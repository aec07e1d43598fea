//! The few file-system verbs everything durable is built from, and named crash points.
//!
//! Everything works on directory descriptors. Together with the transaction of the OSTree repository
//! this is the only place that syncs: a caller that publishes through here gets "either old or new".

pub mod crash;
mod error;
mod lock;
mod publish;
mod reach;
mod tree;
mod verity;

pub use crash::crash_point;
pub use error::{Error, IoContext, setting_attribute};
pub use lock::{Lock, LockError};
pub use publish::{
    publish, publish_no_sync, read_optional, replace_symlink, sync_dir, sync_file, sync_filesystem,
    write_all,
};
pub use reach::reach_bare;
pub use tree::{create_dir_all, remove_all};
pub use verity::{NoVerity, Seal, VerityHash, enable_verity, seal, seal_of, verity_digest};
