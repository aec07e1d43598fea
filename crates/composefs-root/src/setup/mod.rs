//! Mounting the root in an initramfs.

mod config;
mod root;
mod submount;
mod volatile;

pub use config::{MountKind, SetupConfig, SetupConfigError};
pub use root::{Notice, SetupRoot, setup_root};
