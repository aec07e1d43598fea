//! Container images in podman's storage, straight from where they come from: each layer is fetched, verified, unpacked and
//! made ready to be read again in one pass, several at once.

mod error;
mod pull;
mod sink;
mod splitter;

pub use error::ImageError;
pub use pull::{Pulled, WantedImage, image_id, layer_ids, missing, pull};
pub use sink::{SharedFiles, StorageSink, Stored};
pub use splitter::FilesOfImage;
