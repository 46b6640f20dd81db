//! Reads lists and watches of the Kubernetes API so that nothing that a tenant writes can fail or bloat what others share.
//!
//! kube decodes a whole page of a list at once: one object with a date of the year 10000 in its `managedFields`, which any
//! tenant can write, fails all of it. Here each object is taken out of the stream as text, read leniently by its
//! [`Metadata`], and dropped before the next one comes.

pub mod api_error;
mod collection;
mod follow;
mod items;
mod metadata;
pub mod retry_after;
pub mod rights;

pub use self::collection::{Collection, as_metadata, at, request};
pub use self::follow::{Change, follow};
#[cfg(any(test, fuzzing))]
pub use self::items::cut;
pub use self::metadata::{Entry, Metadata, Place, decode, elements, member, text};
