//! How images are named.
//!
//! Three layers, each with its textual form:
//!
//! - [`RegistryReference`]: `quay.io/org/name:tag@sha256:...`, what a registry understands;
//! - [`ImageReference`]: a [`Transport`] and a name in that transport's own syntax,
//!   `oci:/srv/images/os:latest`;
//! - [`OstreeImageReference`]: an image reference and how its signature is to be verified,
//!   `ostree-remote-registry:fedora:quay.io/org/name`. This is what origin files store.
//!
//! The forms and their canonical spelling are those of the ostree-ext and containers-image-proxy
//! crates, because origin files and refs written by either side must be read by the other.

mod image;
mod ostree;
mod path;
mod registry;
mod transport;

pub use image::{ImageReference, ImageReferenceError};
pub use ostree::{OstreeImageReference, OstreeImageReferenceError, SignatureSource};
pub use path::{PathReference, Selector};
pub(crate) use registry::split_port;
pub use registry::{RegistryReference, RegistryReferenceError};
pub use transport::{Transport, UnknownTransport};
