//! What stands in `/boot` and in the boot links of `/ostree`: bytes and names in, values out.
//!
//! - [`BlsEntry`]: an entry of the Boot Loader Specification (type 1), as libostree writes it;
//! - [`EntryName`]: names of entry files, with boot counters;
//! - [`KernelArgs`]: ordered kernel arguments with libostree's editing rules;
//! - [`BootVersion`], [`SubBootVersion`], [`BootLink`]: which of the four generations of boot links is
//!   active and what an `ostree=` argument points at;
//! - [`BootChecksum`], [`BootDir`]: the directories `/boot/ostree/STATEROOT-BOOTCSUM`;
//! - [`kernel`]: names of kernels in a tree and what their checksum is made of;
//! - [`title`] and [`os_release`]: what the menu shows;
//! - [`uki`]: sections of unified kernel images;
//! - [`version_order`]: the order in which entries are sorted.
//!
//! Sources: the Boot Loader Specification (UAPI.1), libostree's documentation ("Deployments", "Atomic
//! upgrades") and the answers of libostree itself, recorded in `tests/fixtures`. Touches no disk.

mod bls;
mod boot_dir;
mod boot_link;
mod boot_version;
mod entry_name;
pub mod kernel;
mod kernel_args;
pub mod os_release;
pub mod title;
pub mod uki;
mod version_order;

pub use bls::BlsEntry;
pub use boot_dir::{BootChecksum, BootDir, InvalidBootChecksum};
pub use boot_link::{BootLink, InvalidBootLink};
pub use boot_version::{BootVersion, SubBootVersion};
pub use entry_name::{EntryName, Tries};
pub use kernel_args::{KernelArg, KernelArgError, KernelArgs};
pub use version_order::version_order;
