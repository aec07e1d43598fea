//! podman's storage (`containers-storage`), for the images that a system binds: which they are, and a store of their own.
//!
//! What is in a store is read here; what writes to it is `skopeo`, whose format it is.

mod bound;
mod storage;

pub use bound::{BOUND_IMAGES, BoundImage, BoundImageError};
pub use storage::{ContainerStore, FetchOptions, StoreError, StoredContainerImage};
