//! The facade over a host's storage: one file is one use case.
//!
//! Everything here is glue over the engines: it takes [`Storage`], names and choices, and gives values
//! that serialise to the JSON documents whose schemas are in `docs/`. Nothing prints, and nothing
//! reads the environment.

mod access;
mod deploy;
mod image_history;
mod image_list;
mod image_metadata;
mod image_remove;
mod layer_sum;
mod pull;
mod status;
mod storage;
mod stored;
mod text;

pub use access::{Access, AccessError};
pub use deploy::{DeployImageError, DeployOptions, Deployed, deploy};
pub use image_history::{History, LayerHistory, image_history};
pub use image_list::{ImageEntry, ImageList, image_list};
pub use image_metadata::{Document, image_metadata};
pub use image_remove::{Removal, RemoveError, image_remove};
pub use pull::{Check, LayerCount, PullError, PullOptions, Pulled, check, pull};
pub use status::{
    DamagedEntryStatus, DeploymentStatus, Fixable, ImageStatus, Status, Update, status,
};
pub use storage::{RunningSystem, Storage, StorageError};
pub use stored::StoredError;
