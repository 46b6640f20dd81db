//! Where the binaries are that the tests run, and what to do when they are not there.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The command that builds both guests.
const BUILD_GUESTS: &str = "run `cargo build --release --target wasm32-wasip1 --manifest-path e2e-tests/Cargo.toml -p accept-everything -p typed-mutator`";

/// The compiled policy: what `POLICY_WASM` names, else what `make policy` builds.
///
/// # Errors
/// When it is not there.
pub fn policy_wasm() -> Result<PathBuf> {
    configured(
        "POLICY_WASM",
        "../target/wasm32-wasip1/release/acr_credential_helper_policy.wasm",
        "run `make policy`",
    )
}

/// The compiled guest that accepts everything.
///
/// # Errors
/// When it is not there.
pub fn accept_everything_wasm() -> Result<PathBuf> {
    existing(in_workspace("target/wasm32-wasip1/release/accept_everything.wasm"), BUILD_GUESTS)
}

/// The compiled guest that mutates typed Pods.
///
/// # Errors
/// When it is not there.
pub fn typed_mutator_wasm() -> Result<PathBuf> {
    existing(in_workspace("target/wasm32-wasip1/release/typed_mutator.wasm"), BUILD_GUESTS)
}

/// The control plane: what `CLUSTER_BIN` names, else what `make cluster` builds.
///
/// # Errors
/// When it is not there.
pub fn cluster_binary() -> Result<PathBuf> {
    configured("CLUSTER_BIN", "cluster/bin/cluster", "run `make cluster`")
}

/// The sidecar: what `SIDECAR_BIN` names, else what `make sidecar` builds.
///
/// # Errors
/// When it is not there.
pub fn sidecar_binary() -> Result<PathBuf> {
    configured("SIDECAR_BIN", "../target/debug/acr-credential-sidecar", "run `make sidecar`")
}

/// The binary that the image holds: what `SIDECAR_STATIC_BIN` names, else what `make static` builds.
///
/// # Errors
/// When it is not there.
pub fn sidecar_static_binary() -> Result<PathBuf> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let default = format!("../dist/linux_{architecture}/acr-credential-sidecar");
    configured("SIDECAR_STATIC_BIN", &default, "run `make static`")
}

/// Helm: what `HELM_BIN` names, else what `make helm` builds.
///
/// # Errors
/// When it is not there.
pub fn helm_binary() -> Result<PathBuf> {
    configured("HELM_BIN", "helm/bin/helm", "run `make helm`")
}

/// The directory with our chart.
#[must_use]
pub fn chart() -> PathBuf {
    in_workspace("../charts/acr-credential-helper")
}

/// The fake cloud: what `FAKE_CLOUD_BIN` names, else the one of this program's own profile. `make bench` measures with an optimised one.
///
/// # Errors
/// When it is not there.
pub fn fake_cloud_binary() -> Result<PathBuf> {
    let (default, hint) = if cfg!(debug_assertions) {
        ("target/debug/fake-cloud", "run `make fake-cloud`")
    } else {
        ("target/release/fake-cloud", "run `make bench`")
    };
    configured("FAKE_CLOUD_BIN", default, hint)
}

/// A state of the fake cloud, by name.
#[must_use]
pub fn cloud_state(name: &str) -> PathBuf {
    in_workspace(&format!("fake-cloud/examples/{name}.yaml"))
}

/// The directory with our policies.
#[must_use]
pub fn manifests() -> PathBuf {
    in_workspace("../deploy")
}

/// Where compiled modules are kept from one test to the next.
pub(crate) fn module_cache() -> PathBuf {
    in_workspace("target/module-cache")
}

/// The first executable of this name on the `PATH`.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The path, if there is a file.
pub(crate) fn existing(path: PathBuf, hint: &str) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is missing; {hint}", path.display());
    }
    Ok(path)
}

fn configured(variable: &str, default: &str, hint: &str) -> Result<PathBuf> {
    match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(path) => existing(path.into(), &format!("{variable} names it")),
        None => existing(in_workspace(default), hint),
    }
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    in_workspace("..").canonicalize().unwrap_or_else(|_| in_workspace(".."))
}

fn in_workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_together_with_the_remedy() {
        let error = existing("/no/such/file".into(), "run `make policy`").unwrap_err();
        assert_eq!(error.to_string(), "/no/such/file is missing; run `make policy`");
    }
}
