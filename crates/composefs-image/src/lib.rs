//! Container images in a composefs repository: layers as split streams, manifest and config as they came, and the
//! root they make together as an image of composefs.
//!
//! Source of the layout and of what a root is: `composefs-oci` and `composefs-boot` of composefs-rs 0.9.4, whose
//! `cfsctl` the tests compare with: the same container image has an image with the same digest.

mod boot;
mod documents;
mod error;
mod layer_tree;
mod list;
mod local;
mod pull;
mod restore;
mod root;
mod splitter;
mod tag;
mod waiting;

pub use boot::policy_of_image;
pub use documents::{RootKind, Stored, StoredImage, find, store_image};
pub use error::ImageError;
pub use list::{Listed, list, remove};
pub use local::StoredLayers;
pub use pull::{PullOptions, Pulled, missing_layers, pull};
pub use restore::{Restored, restore_layer};
pub use root::root_of;
pub use splitter::{Beside, LayerSplitter};
