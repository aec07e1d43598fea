use std::ops::Deref;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::boot_config::{BootConfig, BootConfigError};
use crate::lock::{SysrootLock, SysrootLockError};
use crate::running::Running;
use crate::{boot_root, dir};

/// `f_type` of FAT: it has no symbolic links, so boot links cannot be switched on it.
const MSDOS_SUPER_MAGIC: i64 = 0x4d44;

/// Where the repository is, below the physical root.
pub(crate) const REPO: &str = "ostree/repo";

/// Choices about a sysroot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SysrootOptions {
    /// Leave deployment directories changeable instead of setting their immutable flag.
    pub mutable_deployments: bool,
    /// Leave extended attributes out when `/etc` is copied.
    pub no_xattrs: bool,
    /// Leave device trees out of what is brought to `/boot`, and of the checksum of a kernel.
    pub no_device_trees: bool,
    /// Stop where `/boot` would be frozen, to test that nothing has changed then.
    pub test_freeze: bool,
    /// How entry files are named.
    pub entry_names: EntryNames,
    /// The program that writes `grub.cfg`, called as `grub2-mkconfig` is: with `-o FILE`. Without one,
    /// `grub2-mkconfig` itself does it, on the running system only.
    pub grub_generator: Option<PathBuf>,
}

/// How entry files are named; both forms are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EntryNames {
    /// `ostree-N.conf`, as libostree since 2024.5: GRUB sorts by file name.
    #[default]
    Number,
    /// `ostree-N-STATEROOT.conf`, as before.
    NumberAndStateroot,
}

/// A physical root with deployments.
#[derive(Debug)]
pub struct Sysroot {
    dir: OwnedFd,
    /// The root whose `boot` is meant, when it is another one.
    pub(crate) boot_elsewhere: Option<OwnedFd>,
    repo: Repo,
    pub(crate) boot_config: BootConfig,
    pub(crate) options: SysrootOptions,
    pub(crate) running: Option<Running>,
}

/// Why a sysroot could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenSysrootError {
    /// Its repository could not be opened.
    #[error(transparent)]
    Repo(#[from] ostree::OpenError),
    /// Its repository's config has a value about boot entries that cannot be used.
    #[error(transparent)]
    Config(#[from] BootConfigError),
    /// Deployments link to the repository, which needs one file system.
    #[error("ostree/repo is on another file system than ostree: deployments could not be linked")]
    OtherFileSystem,
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for OpenSysrootError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Repo(error) => error.class(),
            Self::Config(error) => error.class(),
            Self::OtherFileSystem => ErrorClass::Unsupported,
            Self::Io(error) => error.class(),
        }
    }
}

/// Why `/boot` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootDirError {
    /// It is FAT.
    #[error("/boot is a FAT file system, which has no symbolic links to switch")]
    Fat,
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for BootDirError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Fat => ErrorClass::Unsupported,
            Self::Io(error) => error.class(),
        }
    }
}

impl Sysroot {
    /// Open the sysroot that `dir` is. `running` says that it is that of the running system.
    ///
    /// # Errors
    /// [`OpenSysrootError`].
    pub fn open(
        dir: OwnedFd,
        options: SysrootOptions,
        running: Option<Running>,
    ) -> Result<Self, OpenSysrootError> {
        let repo = Repo::open_at(dir.as_fd(), Path::new(REPO))?;
        let ostree = dir::open(dir.as_fd(), "ostree")?;
        if dir::device(ostree.as_fd())? != dir::device(repo.dir())? {
            return Err(OpenSysrootError::OtherFileSystem);
        }
        let boot_config = BootConfig::from_file(&repo.config().file)?;
        let elsewhere = running
            .as_ref()
            .map(|running| boot_root::elsewhere(dir.as_fd(), running));
        Ok(Self {
            boot_elsewhere: elsewhere.transpose()?.flatten(),
            dir,
            repo,
            boot_config,
            options,
            running,
        })
    }

    /// The physical root.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The repository.
    #[must_use]
    pub const fn repo(&self) -> &Repo {
        &self.repo
    }

    /// How boot entries are written.
    #[must_use]
    pub const fn boot_config(&self) -> &BootConfig {
        &self.boot_config
    }

    /// Whether this is the sysroot of the running system.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// `/run`, when this is the sysroot of the running system.
    #[must_use]
    pub fn run(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(Running::run)
    }

    /// Take the lock that everything needs that changes something, waiting up to `timeout`.
    ///
    /// # Errors
    /// [`SysrootLockError::Busy`] after `timeout`; otherwise what the system said.
    pub fn lock(&self, timeout: Duration) -> Result<Locked<'_>, SysrootLockError> {
        let lock = SysrootLock::take(self.dir(), timeout)?;
        Ok(Locked {
            sysroot: self,
            _lock: lock,
        })
    }

    /// Open `/boot`.
    pub(crate) fn boot(&self) -> Result<OwnedFd, BootDirError> {
        let boot = dir::open(self.boot_root(), "boot")?;
        let stat = rustix::fs::fstatfs(&boot).during("look at the file system of", "boot")?;
        if stat.f_type == MSDOS_SUPER_MAGIC {
            return Err(BootDirError::Fat);
        }
        Ok(boot)
    }

    /// Tell watchers that deployments changed, as libostree does: by the time of `ostree/deploy`.
    pub(crate) fn touch(&self) -> Result<(), durable::Error> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        rustix::fs::utimensat(self.dir(), "ostree/deploy", &times, AtFlags::empty())
            .during("touch", "ostree/deploy")
    }
}

/// A sysroot whose lock is held: only here is anything changed.
#[derive(Debug)]
pub struct Locked<'a> {
    sysroot: &'a Sysroot,
    _lock: SysrootLock,
}

impl Deref for Locked<'_> {
    type Target = Sysroot;

    fn deref(&self) -> &Sysroot {
        self.sysroot
    }
}
