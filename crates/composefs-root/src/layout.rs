//! Where things are: names as bootc has them, so that both programs work on one disk.
//!
//! Source: the modules `composefs_consts` and `bootc_composefs` of bootc.

/// One directory for each deployment, below the physical root.
pub(crate) const STATE: &str = "state/deploy";

/// One directory for each `/var` that deployments have. bootc has one of them, `default`.
pub(crate) const STATEROOTS: &str = "state/os";

/// Held while anything changes.
pub(crate) const LOCK: &str = "state/.bootroot-lock";

/// Images of the composefs repository.
pub(crate) const IMAGES: &str = "composefs/images";

/// Objects of the composefs repository.
pub(crate) const OBJECTS: &str = "composefs/objects";

/// Where boot entries are, below `/boot` or the EFI system partition.
pub(crate) const ENTRIES: &str = "loader/entries";

/// Those that take their place when what is staged is completed.
pub(crate) const STAGED_ENTRIES: &str = "loader/entries.staged";

/// What the directory of a kernel is called by, with the digest of the image behind.
pub(crate) const BOOT_DIR: &str = "bootc_composefs-";

/// The kernel in such a directory.
pub(crate) const LINUX: &str = "vmlinuz";

/// The initramfs in such a directory.
pub(crate) const INITRD: &str = "initrd";

/// Where unified kernel images are, below the EFI system partition: not where a boot loader looks by itself.
pub(crate) const UKI: &str = "EFI/Linux/bootc";

/// Which deployment a soft reboot changes to, below `/run`.
pub(crate) const NEXT_ROOT: &str = "composefs/next-root";

/// How the root of an image is set up, in the image.
pub(crate) const SETUP_CONFIG: &str = "usr/lib/composefs/setup-root-conf.toml";

/// The stateroot that the running system has, when it is not that of its deployment any more, below `/run`.
pub(crate) const LEFT_STATEROOT: &str = "composefs/left-stateroot";

/// What is staged, below `/run`.
pub(crate) const STAGED: &str = "composefs/staged-deployment";
