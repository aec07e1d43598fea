//! What tests share: real tools, golden data, hostile archives, scratch file systems.
//!
//! Everything here panics instead of returning errors: a helper that cannot do its work means a
//! broken test machine, and the panic says what to install or what the program printed. Nothing
//! is ever skipped silently.

mod binary;
pub mod boot;
pub mod disk;
mod fault_proxy;
mod golden;
pub mod gpg_home;
mod manifest;
pub mod oci;
mod registry;
mod run;
mod socks_proxy;
pub mod tar;
mod tool;

pub use binary::{bootroot_bin, scratch_dir, target_dir, workspace_root};
pub use fault_proxy::FaultProxy;
pub use golden::{golden, golden_copy};
pub use gpg_home::GpgHome;
pub use manifest::{TreeManifest, manifest};
pub use registry::{HTPASSWD_PASSWORD, HTPASSWD_USER, Registry};
pub use run::{fails, run, shell, stdout};
pub use socks_proxy::SocksProxy;
pub use tool::{command, tool};
