//! Images in tar archives: `oci-archive:` and `docker-archive:`.
//!
//! Archives are read in place. One pass over the headers finds where each file is; blobs are then
//! read at their offset, by several threads if need be. Nothing is unpacked.

mod docker;
mod oci;
mod tar;
mod write;

pub use docker::open_docker;
pub use oci::open_oci;
pub use write::{ArchiveBlob, OciArchiveWriter};
