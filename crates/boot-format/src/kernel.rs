//! Where a tree keeps its kernel, and under which names it goes to `/boot`.
//!
//! Today's place is `usr/lib/modules/KVER/` with `vmlinuz`, `initramfs.img` (or `initramfs`),
//! `devicetree` (or a directory `dtb`), `.vmlinuz.hmac` and `aboot.img`. Older trees keep
//! `vmlinuz-…-BOOTCSUM`, `initramfs-…-BOOTCSUM` and `devicetree-…-BOOTCSUM` in `usr/lib/ostree-boot` or
//! `boot`.
//!
//! The boot checksum of the first kind is the SHA-256 of the contents of, in this order, `vmlinuz`, the
//! initramfs if there is one, and the device tree (of a directory: all its files, depth first in the
//! byte order of their names). `.vmlinuz.hmac` and `aboot.img` do not count. The boot checksum of the
//! second kind stands in the file names.

use serde::Serialize;

use crate::BootChecksum;

/// Where kernels are looked for first.
pub const MODULES: &str = "usr/lib/modules";

/// Where older trees keep kernels; the first of these directories that exists counts.
pub const LEGACY_DIRS: [&str; 2] = ["usr/lib/ostree-boot", "boot"];

/// The kernel in `usr/lib/modules/KVER`.
pub const VMLINUZ: &str = "vmlinuz";

/// Names of the initramfs in `usr/lib/modules/KVER`; the first that exists counts.
pub const INITRAMFS: [&str; 2] = ["initramfs.img", "initramfs"];

/// A single device tree in `usr/lib/modules/KVER`.
pub const DEVICETREE: &str = "devicetree";

/// A directory of device trees in `usr/lib/modules/KVER`, when there is no single one.
pub const DTB_DIR: &str = "dtb";

/// The HMAC of the kernel (FIPS mode) in `usr/lib/modules/KVER`.
pub const HMAC: &str = ".vmlinuz.hmac";

/// An Android boot image in `usr/lib/modules/KVER`.
pub const ABOOT: &str = "aboot.img";

/// What a file in a boot directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BootFileKind {
    /// The kernel: `linux` in the entry.
    Kernel,
    /// The initial RAM file system: `initrd`.
    Initramfs,
    /// One device tree: `devicetree`.
    DeviceTree,
    /// A directory of device trees: `fdtdir`.
    DeviceTreeDir,
    /// The HMAC of the kernel; not in the entry, it is found by its name.
    KernelHmac,
    /// An Android boot image: `aboot`.
    AndroidBoot,
}

impl BootFileKind {
    /// The name in `/boot/ostree/STATEROOT-BOOTCSUM/` of a file from `usr/lib/modules/KVER`.
    #[must_use]
    pub fn installed_name(self, kernel_version: &str) -> String {
        match self {
            Self::Kernel => format!("vmlinuz-{kernel_version}"),
            Self::Initramfs => format!("initramfs-{kernel_version}.img"),
            Self::DeviceTree => format!("devicetree-{kernel_version}"),
            Self::DeviceTreeDir => DTB_DIR.to_owned(),
            Self::KernelHmac => format!(".vmlinuz-{kernel_version}.hmac"),
            Self::AndroidBoot => format!("aboot-{kernel_version}.img"),
        }
    }
}

/// A file of an older tree: what it is, its name in `/boot`, and the boot checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyName {
    /// What it is for.
    pub kind: BootFileKind,
    /// The name without the checksum.
    pub installed: String,
    /// The checksum that stood at the end.
    pub checksum: BootChecksum,
}

impl LegacyName {
    /// Read a file name of a legacy directory; `None` for anything else.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let kind = match name {
            _ if name.starts_with("vmlinuz-") => BootFileKind::Kernel,
            _ if name.starts_with("initramfs-") => BootFileKind::Initramfs,
            _ if name.starts_with("devicetree-") => BootFileKind::DeviceTree,
            _ => return None,
        };
        let (installed, checksum) = name.rsplit_once('-')?;
        Some(Self {
            kind,
            installed: installed.to_owned(),
            checksum: checksum.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_legacy_names() {
        let sum = "a".repeat(64);
        let name = LegacyName::parse(&format!("vmlinuz-3.6.0-{sum}")).unwrap();
        assert_eq!(name.kind, BootFileKind::Kernel);
        assert_eq!(name.installed, "vmlinuz-3.6.0");
        assert_eq!(name.checksum.as_str(), sum);
        assert_eq!(LegacyName::parse("vmlinuz-3.6.0"), None);
        assert_eq!(LegacyName::parse(&format!("config-3.6.0-{sum}")), None);
    }

    #[test]
    fn names_as_libostree_installs_them() {
        let name = |kind: BootFileKind| kind.installed_name("6.1.0-golden");
        assert_eq!(name(BootFileKind::Kernel), "vmlinuz-6.1.0-golden");
        assert_eq!(name(BootFileKind::Initramfs), "initramfs-6.1.0-golden.img");
        assert_eq!(name(BootFileKind::KernelHmac), ".vmlinuz-6.1.0-golden.hmac");
    }
}
