//! podman's storage (`containers-storage`): images in it, read and written, and the units that bind images to a system.
//!
//! [`read`] gives the layers of images in a storage of the driver `overlay` back byte for byte. It takes no locks: whoever
//! reads a layer verifies it, and one that is removed meanwhile is an error. A [`StoreSession`] writes: layers and images
//! come in whole, as podman and skopeo lay them out. Nothing here knows what a manifest says, or where it comes from.

pub mod config;
pub mod read;

mod bound;
mod check;
mod id;
mod lists;
mod session;
mod store;
mod write;

pub use bound::{BOUND_IMAGES, BoundImage, BoundImageError};
pub use check::{StoreDamage, StoreReport};
pub use id::{ImageId, InvalidId, LayerId};
pub use session::{NewImage, NewLayer, Staged, StoreSession};
pub use store::{ContainerStore, Labeler, StoreError, StoredContainerImage};
pub use write::{
    BlobCompression, Elsewhere, EntryProblem, LayerOrigin, LayerWriter, NodeAttributes, NodeKind,
    StagedLayer,
};
