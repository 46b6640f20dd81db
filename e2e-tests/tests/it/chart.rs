//! The chart, by the real Helm on a real control plane.

mod bed;
mod fence;
mod kubelet;
mod life;
mod manifests;
mod story;
