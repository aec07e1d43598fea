//! Mounting the root in an initramfs.

mod config;
mod deployment;
mod root;
mod submount;
mod volatile;

pub use config::{MountKind, SetupConfig, SetupConfigError};
pub use deployment::{SetupDeployment, setup_deployment};
pub(crate) use root::{Assembly, assemble};

pub use root::{Notice, SetupPlaces, SetupRoot, setup_root};
