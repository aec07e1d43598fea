//! Container image references, transports and registries.
//!
//! An [`ImageReference`](reference::ImageReference) names an image and the transport it comes by.
//! [`source::open`] turns it into an [`ImageSource`](source::ImageSource): verified manifests, the
//! configuration, and raw blob streams that the caller verifies while it uses them, so that every
//! byte is hashed once. [`fetch`] answers the common questions in one call. The writers are
//! [`layout::OciDirWriter`] and [`archive::OciArchiveWriter`].
//!
//! Nothing here reads the environment, prints, or opens a path of its own: everything that comes
//! from outside (target platform, credentials, trusted certificates, the directory that paths start
//! from) is in the [`Context`](context::Context).

pub mod archive;
pub mod canonical;
pub mod certs;
pub mod context;
pub mod copy;
pub mod credentials;
pub mod destination;
pub mod digest;
pub mod dir;
pub mod fetch;
pub mod layout;
pub mod limits;
pub mod manifest;
pub mod media_type;
pub mod parts;
pub mod platform;
pub mod proxies;
pub mod reference;
pub mod registries;
pub mod registry;
pub mod sink;
pub mod skopeo;
pub mod source;

mod file_image;
mod files;
mod storage;

pub use files::FileError;
pub use oci_spec::image as spec;
