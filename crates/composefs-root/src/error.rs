use composefs_format::Digest;
use error_class::{Classified, ErrorClass};
use sysroot::{EtcError, KernelError, NextRootMountError};

use crate::{
    InvalidRootArgument, MountError, Notice, OriginError, SetupConfigError, SoftRebootBlock,
    StagedRootError,
};

/// Why deployments cannot be read or changed.
///
/// Which of them boots has not changed, unless it is said otherwise; what was made is completed or removed by the next
/// change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// There is no deployment to do it with.
    #[error("there is no deployment {0}")]
    NoDeployment(String),
    /// There is nothing to roll back to.
    #[error("there is no other deployment to roll back to")]
    NoRollback,
    /// Nothing is staged.
    #[error("nothing is staged")]
    NothingStaged,
    /// The first deployment says nothing about how its root is found.
    #[error(
        "the first deployment needs kernel arguments, at least root=: boot loaders do not know the disk"
    )]
    NoArguments,
    /// The image has a kernel without an initramfs.
    #[error(
        "the kernel of the image has no initramfs, without which no root of composefs is mounted"
    )]
    NoInitramfs,
    /// A unified kernel image boots another root.
    #[error(
        "the unified kernel image {name} boots the root {found}, not {expected}; build it again for this image"
    )]
    OtherRoot {
        /// Its name.
        name: String,
        /// What its command line says.
        found: String,
        /// The image.
        expected: Box<Digest>,
    },
    /// A unified kernel image demands what this system has not.
    #[error(
        "the unified kernel image of {0} demands that the kernel verifies the root, and this file system has no fs-verity: \
         switch it on (ext4: tune2fs -O verity), or build the image with composefs=?"
    )]
    NotVerifiable(Box<Digest>),
    /// A unified kernel image needs an EFI system partition.
    #[error(
        "the image boots by a unified kernel image, but no EFI system partition is mounted at /efi, /boot/efi or /boot"
    )]
    NoEsp,
    /// What boots the system has no room.
    #[error("not enough space on {place}: {needed} bytes are needed, {available} are free")]
    NoSpace {
        /// The file system.
        place: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// It runs.
    #[error("deployment {0} is running: it cannot be removed")]
    Running(Box<Digest>),
    /// Its arguments are where nobody can change them.
    #[error(
        "deployment {0} boots by a unified kernel image, which has its kernel arguments in it: build the image anew"
    )]
    UnifiedArguments(Box<Digest>),
    /// Its origin file is missing, so nothing can be noted in it.
    #[error("deployment {0} has no origin file; deploy its image again")]
    NoOrigin(Box<Digest>),
    /// There can be no soft reboot.
    #[error(transparent)]
    SoftReboot(#[from] SoftRebootBlock),
    /// The next root would not be whole.
    #[error("no soft reboot: {0}")]
    LeftOut(Box<Notice>),
    /// The next root cannot be mounted.
    #[error(transparent)]
    NextRoot(#[from] NextRootMountError),
    /// It is not known how a root is set up.
    #[error(transparent)]
    Setup(#[from] SetupConfigError),
    /// A digest that is no image.
    #[error(transparent)]
    Argument(#[from] InvalidRootArgument),
    /// The kernel of the image.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The image cannot be mounted, which is how it is read.
    #[error("the image cannot be read: {0}")]
    Mount(#[from] MountError),
    /// `/etc` cannot be made.
    #[error(transparent)]
    Etc(#[from] EtcError),
    /// An origin is damaged.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// What is staged is damaged.
    #[error(transparent)]
    Staged(#[from] StagedRootError),
    /// Somebody else changes something.
    #[error(transparent)]
    Lock(#[from] durable::LockError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for RootError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoDeployment(_) | Self::NoRollback | Self::NothingStaged => ErrorClass::NotFound,
            Self::NoArguments | Self::NoInitramfs | Self::OtherRoot { .. } => {
                ErrorClass::InvalidInput
            }
            Self::Running(_) => ErrorClass::InvalidInput,
            Self::NoOrigin(_) => ErrorClass::Corrupt,
            Self::NoEsp | Self::NotVerifiable(_) | Self::UnifiedArguments(_) => {
                ErrorClass::Unsupported
            }
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::SoftReboot(block) => block.class(),
            Self::LeftOut(_) => ErrorClass::Unsupported,
            Self::NextRoot(error) => error.class(),
            Self::Setup(error) => error.class(),
            Self::Argument(error) => error.class(),
            Self::Kernel(error) => error.class(),
            Self::Mount(error) => error.class(),
            Self::Etc(error) => error.class(),
            Self::Origin(error) => error.class(),
            Self::Staged(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
