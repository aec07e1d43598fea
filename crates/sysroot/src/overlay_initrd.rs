//! Additional initrds: the boot loader hands them to the kernel behind the initramfs.
//!
//! They stand in `/boot` under the checksum of their content, and in `/run` while a deployment with them is staged,
//! where libostree looks for them when it completes the stage.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use durable::{Error, crash_point};
use ostree_format::Checksum;
use serde::Serialize;

use crate::dir;

/// Where they are, below `/boot`.
pub(crate) const OVERLAYS: &str = "ostree/initramfs-overlays";

/// An additional initrd.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct OverlayInitrd {
    checksum: String,
    #[serde(skip)]
    content: Vec<u8>,
}

impl std::fmt::Debug for OverlayInitrd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OverlayInitrd")
            .field(&self.checksum)
            .finish()
    }
}

impl OverlayInitrd {
    /// An initrd with this content.
    #[must_use]
    pub fn new(content: Vec<u8>) -> Self {
        Self {
            checksum: Checksum::of(&content).to_string(),
            content,
        }
    }

    /// What it is called by.
    #[must_use]
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// The path in a boot entry, without a prefix.
    pub(crate) fn entry_path(&self) -> String {
        entry_path(&self.checksum)
    }
}

/// The path in a boot entry of the initrd with this checksum, without a prefix.
pub(crate) fn entry_path(checksum: &str) -> String {
    format!("/{OVERLAYS}/{checksum}.img")
}

/// Bring initrds to `/boot`, unless they are there. They become durable with the entries that name them.
pub(crate) fn install(boot: BorrowedFd<'_>, initrds: &[OverlayInitrd]) -> Result<(), Error> {
    for initrd in initrds {
        dir::make_all(boot, OVERLAYS, 0o755)?;
        if !is_installed(boot, initrd)? {
            let place = dir::open(boot, OVERLAYS)?;
            let name = format!("{}.img", initrd.checksum);
            durable::publish_no_sync(place.as_fd(), Path::new(&name), &initrd.content, 0o644)?;
        }
        crash_point("sysroot:initrd-installed");
    }
    Ok(())
}

/// Bytes of those initrds that are not in `/boot` yet.
pub(crate) fn bytes_missing(boot: BorrowedFd<'_>, initrds: &[OverlayInitrd]) -> Result<u64, Error> {
    let mut bytes = 0;
    for initrd in initrds {
        if !is_installed(boot, initrd)? {
            bytes += initrd.size();
        }
    }
    Ok(bytes)
}

fn is_installed(boot: BorrowedFd<'_>, initrd: &OverlayInitrd) -> Result<bool, Error> {
    let path = format!("{OVERLAYS}/{}.img", initrd.checksum);
    let stat = dir::stat_optional(boot, path)?;
    Ok(stat.is_some_and(|stat| u64::try_from(stat.st_size) == Ok(initrd.size())))
}
