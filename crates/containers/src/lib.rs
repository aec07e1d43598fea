//! podman's storage (`containers-storage`): images in it, and the ones that a system binds, which have a store of their own.
//!
//! What is in a store is read here; what writes to it is `skopeo`, whose format it is. [`read`] gives the layers of
//! images in a storage of the driver `overlay` back byte for byte. It takes no locks: whoever reads a layer verifies it,
//! and one that is removed meanwhile is an error. Nothing here knows what a manifest says.

pub mod config;
pub mod read;

mod bound;
mod storage;

pub use bound::{BOUND_IMAGES, BoundImage, BoundImageError};
pub use storage::{ContainerStore, FetchOptions, StoreError, StoredContainerImage};
