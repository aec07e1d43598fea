//! The handle on everything that this crate works on.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use boot_format::KernelArgs;
use durable::{IoContext as _, Lock};
use rustix::fs::{AtFlags, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use crate::layout::{ENTRIES, LOCK, STATE};
use crate::{RootArgument, RootError};

/// How long another change is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `f_type` is of the file system of EFI system partitions.
const FAT: i64 = 0x4d44;

/// The deployments of a system whose roots are images of composefs.
#[derive(Debug)]
pub struct Roots {
    pub(crate) physical: OwnedFd,
    pub(crate) boot: BootPlace,
    /// The EFI system partition, if there is one.
    pub(crate) esp: Option<OwnedFd>,
    /// Where that is mounted.
    pub(crate) esp_place: &'static str,
    pub(crate) running: Option<RunningRoot>,
}

/// The running system, when its root is one of these.
#[derive(Debug)]
pub struct RunningRoot {
    /// `/run`.
    pub run: OwnedFd,
    /// `/`.
    pub root: OwnedFd,
    /// What is mounted there.
    pub argument: RootArgument,
    /// What the kernel was told.
    pub kernel_args: KernelArgs,
}

/// Where boot entries and kernels are.
#[derive(Debug)]
pub(crate) struct BootPlace {
    /// `/boot`, or the EFI system partition.
    pub(crate) dir: OwnedFd,
    /// What stands before paths below `files` in entries.
    pub(crate) prefix: &'static str,
    /// Where the directories with kernels are, below `dir`.
    pub(crate) files: &'static str,
}

/// The same, while nobody else changes anything.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    pub(crate) roots: &'a Roots,
    _lock: Lock,
}

impl Roots {
    /// Those below a physical root; there may be none yet. `running` says that it is that of the running system.
    ///
    /// Entries are in `/boot`, unless a boot loader that reads them from the EFI system partition has its own there.
    ///
    /// # Errors
    /// [`RootError::Io`].
    pub fn open(physical: OwnedFd, running: Option<RunningRoot>) -> Result<Self, RootError> {
        durable::create_dir_all(physical.as_fd(), Path::new("boot"), 0o755)?;
        let seen = running.as_ref().map_or(&physical, |running| &running.root);
        let (esp, esp_place) = find_esp(seen.as_fd())?.unzip();
        let boot = find_boot(physical.as_fd(), seen.as_fd(), esp.as_ref())?;
        Ok(Self {
            physical,
            boot,
            esp,
            esp_place: esp_place.unwrap_or("/efi"),
            running,
        })
    }

    /// Whether there is a deployment of this kind below a physical root.
    ///
    /// # Errors
    /// What the system said.
    pub fn are_in(physical: BorrowedFd<'_>) -> Result<bool, RootError> {
        match rustix::fs::statat(physical, STATE, AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Ok(Err(error).during("look for", STATE)?),
        }
    }

    /// Whether the running system is one of them, so that what is deployed is staged.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// What is running.
    #[must_use]
    pub fn booted(&self) -> Option<&RootArgument> {
        self.running.as_ref().map(|running| &running.argument)
    }

    /// `/run` of the running system.
    #[must_use]
    pub fn run(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.run.as_fd())
    }

    /// `/` of the running system.
    #[must_use]
    pub fn running_root(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.root.as_fd())
    }

    /// The overlay on `/usr` of the running system, if there is one: whether it is read-only.
    #[must_use]
    pub fn usr_overlay(&self) -> Option<bool> {
        let root = self.running_root()?;
        let look = |path| rustix::fs::statat(root, path, AtFlags::empty()).ok();
        if look(".")?.st_dev == look("usr")?.st_dev {
            return None;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let usr = rustix::fs::openat(root, "usr", flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstatvfs(usr).ok()?;
        Some(stat.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// Whether entries are where systemd-boot reads them, on the EFI system partition.
    #[must_use]
    pub fn boots_by_systemd_boot(&self) -> bool {
        self.boot.files != "."
    }

    pub(crate) fn lock(&self) -> Result<Locked<'_>, RootError> {
        durable::create_dir_all(self.physical.as_fd(), Path::new(STATE), 0o755)?;
        let lock = Lock::exclusive(self.physical.as_fd(), Path::new(LOCK), PATIENCE)?;
        Ok(Locked {
            roots: self,
            _lock: lock,
        })
    }
}

/// The EFI system partition, where it is usually mounted.
fn find_esp(root: BorrowedFd<'_>) -> Result<Option<(OwnedFd, &'static str)>, RootError> {
    for (path, place) in [
        ("efi", "/efi"),
        ("boot/efi", "/boot/efi"),
        ("boot", "/boot"),
    ] {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(root, path, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            other => other.during("open directory", path)?,
        };
        let is_fat = rustix::fs::fstatfs(&dir).is_ok_and(|stat| stat.f_type == FAT);
        let has_loaders = || rustix::fs::statat(&dir, "EFI", AtFlags::empty()).is_ok();
        if is_fat || has_loaders() {
            return Ok(Some((dir, place)));
        }
    }
    Ok(None)
}

fn find_boot(
    physical: BorrowedFd<'_>,
    seen: BorrowedFd<'_>,
    esp: Option<&OwnedFd>,
) -> Result<BootPlace, RootError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Some(esp) = esp
        && ["EFI/systemd", ENTRIES]
            .iter()
            .any(|path| rustix::fs::statat(esp, *path, AtFlags::empty()).is_ok())
    {
        return Ok(BootPlace {
            dir: esp.try_clone().during("open directory", "efi")?,
            prefix: "/EFI/Linux",
            files: "EFI/Linux",
        });
    }
    let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_dev).ok();
    let boot_of = |root| rustix::fs::openat(root, "boot", flags, Mode::empty());
    // The running system has a partition for it mounted at its own root.
    let mounted = boot_of(seen).ok();
    let mounted = mounted.filter(|dir| device(dir.as_fd()) != device(seen));
    let dir = match mounted {
        Some(dir) => dir,
        None => boot_of(physical).during("open directory", "boot")?,
    };
    // Boot loaders see a partition from its own root.
    let is_partition = device(dir.as_fd()) != device(physical);
    Ok(BootPlace {
        dir,
        prefix: if is_partition { "" } else { "/boot" },
        files: ".",
    })
}
