//! Container images and OSTree commits.
//!
//! An image is stored as its layers, one commit and ref each, and a merge commit whose tree is what all
//! of them give together. Names, metadata keys and the shape of commits are those of ostree-ext, so
//! that its tools and bootc read what is written here and the other way round.

mod cached_update;
mod collect;
mod fetch;
mod import;
mod import_error;
mod keys;
mod labels;
mod layout;
mod list;
mod merge;
mod options;
mod plan;
mod query;
mod refs;
mod relabel;
mod root_config;
mod stored_layer;
mod write_merge;

pub use cached_update::{CachedImageUpdate, cached_update, clear_cached_update};
pub use collect::{Collected, collect_layers, remove_images};
pub use import::Imported;
pub use import_error::ImportError;
pub use keys::{BASE_IMAGE_PREFIX, BOOTABLE_LABEL, BOOTC_LABEL, FINAL_DIFFID_LABEL};
pub use labels::{PolicyError, policy_of_commit};
pub use layout::{LayerRole, LayoutError};
pub use list::list_images;
pub use merge::MergeError;
pub use options::ImportOptions;
pub use plan::{ImportPlan, LayerState, PlanError, Prepared, prepare};
pub use query::{LayeredImageState, QueryError, query_image, query_image_commit};
pub use refs::{RefNameError, ref_for_digest, ref_for_image};
