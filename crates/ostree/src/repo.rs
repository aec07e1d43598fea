use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use durable::{IoContext as _, Lock, LockError};
use error_class::{Classified, ErrorClass};
use ostree_format::keyfile::KeyFile;
use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::{BootId, ConfigError, Remote, RepoConfig};

/// Largest config file that is read.
const MAX_CONFIG: u64 = 1024 * 1024;

/// The directories of a repository, as `ostree init` makes them.
const LAYOUT: [&str; 9] = [
    "extensions",
    "objects",
    "refs",
    "refs/heads",
    "refs/mirrors",
    "refs/remotes",
    "state",
    "tmp",
    "tmp/cache",
];

/// An open repository.
#[derive(Debug)]
pub struct Repo {
    dir: OwnedFd,
    objects: OwnedFd,
    tmp: OwnedFd,
    config: RepoConfig,
    /// Where objects are looked for that are not here (`core.parent`).
    parent: Option<Box<Self>>,
    /// Remotes that the config does not name.
    pub(crate) outer_remotes: Vec<Remote>,
    /// Which boot this is.
    boot: Option<BootId>,
}

/// Why a repository could not be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no repository.
    #[error("{path:?} is not an OSTree repository: it has no {missing}")]
    NotARepository {
        /// What was to be opened.
        path: String,
        /// The file or directory that is not there.
        missing: &'static str,
    },
    /// The config cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The mode in the config is not the one that was asked for.
    #[error("the repository exists already in mode {found}, not {wanted}")]
    OtherMode {
        /// The mode it has.
        found: RepoMode,
        /// The mode that was asked for.
        wanted: RepoMode,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for OpenError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotARepository { .. } => ErrorClass::NotFound,
            Self::Config(error) => error.class(),
            Self::OtherMode { .. } => ErrorClass::InvalidInput,
            Self::Io(error) => error.class(),
        }
    }
}

impl Repo {
    /// Open the repository that `dir` is.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: OwnedFd) -> Result<Self, OpenError> {
        let missing = |missing| OpenError::NotARepository {
            path: ".".to_owned(),
            missing,
        };
        let config = durable::read_optional(dir.as_fd(), Path::new("config"), MAX_CONFIG)?
            .ok_or_else(|| missing("config"))?;
        let config = RepoConfig::from_bytes(&config)?;
        let subdir = |name: &'static str| match open_dir(dir.as_fd(), Path::new(name)) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Err(missing(name)),
            other => Ok(other?),
        };
        // Whoever cleans up may have removed it; it holds nothing that matters.
        durable::create_dir_all(dir.as_fd(), Path::new("tmp"), 0o777)?;
        let (objects, tmp) = (subdir("objects")?, subdir("tmp")?);
        let parent = config.file.get("core", "parent");
        let parent = parent.filter(|path| !path.is_empty());
        let parent = parent.map(|path| Self::open_at(dir.as_fd(), Path::new(&path)));
        let parent = parent.transpose()?.map(Box::new);
        Ok(Self {
            parent,
            outer_remotes: Vec::new(),
            boot: None,
            objects,
            tmp,
            config,
            dir,
        })
    }

    /// Open the repository at `path` below `base`.
    ///
    /// # Errors
    /// [`OpenError`]; it names `path`.
    pub fn open_at(base: BorrowedFd<'_>, path: &Path) -> Result<Self, OpenError> {
        let name = || path.display().to_string();
        let dir = match open_dir(base, path) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::NotARepository {
                    path: name(),
                    missing: "directory",
                });
            }
            other => other?,
        };
        Self::open(dir).map_err(|error| match error {
            OpenError::NotARepository { missing, .. } => OpenError::NotARepository {
                path: name(),
                missing,
            },
            other => other,
        })
    }

    /// Make a repository of `mode` at `path` below `base` and open it. A repository of the same mode
    /// that is there already is completed and opened, as `ostree init` does.
    ///
    /// # Errors
    /// [`OpenError`]; what was made until then stays and is completed by calling again.
    pub fn init_at(base: BorrowedFd<'_>, path: &Path, mode: RepoMode) -> Result<Self, OpenError> {
        durable::create_dir_all(base, path, 0o777)?;
        let dir = open_dir(base, path)?;
        if durable::read_optional(dir.as_fd(), Path::new("config"), MAX_CONFIG)?.is_none() {
            for name in LAYOUT {
                durable::create_dir_all(dir.as_fd(), Path::new(name), 0o777)?;
            }
            // The config comes last: without it the directory is no repository yet.
            let config = RepoConfig::initial(mode);
            durable::publish(dir.as_fd(), Path::new("config"), config.as_bytes(), 0o644)?;
        }
        let repo = Self::open(dir)?;
        if repo.mode() == mode {
            Ok(repo)
        } else {
            Err(OpenError::OtherMode {
                found: repo.mode(),
                wanted: mode,
            })
        }
    }

    /// How content is stored.
    #[must_use]
    pub const fn mode(&self) -> RepoMode {
        self.config.mode
    }

    /// The config.
    #[must_use]
    pub const fn config(&self) -> &RepoConfig {
        &self.config
    }

    /// Sync nothing from now on, whatever the config says: a crash may cost what is written then.
    pub const fn disable_fsync(&mut self) {
        self.config.fsync = false;
    }

    /// Replace the config, and use the new one from now on.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be used or not be written; the old one is untouched then.
    pub fn write_config(&mut self, file: &KeyFile) -> Result<(), ConfigError> {
        let text = file.to_string();
        let config = RepoConfig::from_bytes(text.as_bytes())?;
        durable::publish(self.dir(), Path::new("config"), text.as_bytes(), 0o644)?;
        self.config = config;
        Ok(())
    }

    /// The repository's directory.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The repository that completes this one, if there is one (`core.parent`).
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.parent.as_deref()
    }

    /// The directory `objects`.
    pub(crate) fn objects(&self) -> BorrowedFd<'_> {
        self.objects.as_fd()
    }

    /// Say which boot this is: then transactions remove what libostree left behind in other ones, with which it would
    /// not go on.
    pub fn set_boot(&mut self, boot: BootId) {
        self.boot = Some(boot);
    }

    pub(crate) const fn boot(&self) -> Option<&BootId> {
        self.boot.as_ref()
    }

    /// The directory `tmp`.
    pub(crate) fn tmp(&self) -> BorrowedFd<'_> {
        self.tmp.as_fd()
    }

    /// A directory below `tmp` for what may be lost at any time, made if need be. libostree removes one
    /// that has not changed for a day.
    ///
    /// # Errors
    /// What the system said.
    pub fn tmp_dir(&self, name: &Path) -> Result<OwnedFd, durable::Error> {
        durable::create_dir_all(self.tmp(), name, 0o700)?;
        open_dir(self.tmp(), name)
    }

    /// Whether the object is stored.
    ///
    /// # Errors
    /// What the system said, but for "not found".
    pub fn has_object(&self, name: &ObjectName) -> Result<bool, durable::Error> {
        let path = name.loose_path(self.mode());
        match rustix::fs::statat(self.objects(), &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).during("look for object", &path),
        }
    }

    /// Whether the repository has the object or gets it from the one that it builds on.
    ///
    /// # Errors
    /// What the system said, but for "not found".
    pub fn provides(&self, name: &ObjectName) -> Result<bool, durable::Error> {
        match &self.parent {
            _ if self.has_object(name)? => Ok(true),
            Some(parent) => parent.provides(name),
            None => Ok(false),
        }
    }

    /// Bytes that the object takes in the store, or `None` when it is not stored.
    ///
    /// # Errors
    /// What the system said, but for "not found".
    pub fn stored_size(&self, name: &ObjectName) -> Result<Option<u64>, durable::Error> {
        let path = name.loose_path(self.mode());
        match rustix::fs::statat(self.objects(), &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(u64::try_from(stat.st_size).unwrap_or_default())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).during("look for object", &path),
        }
    }

    /// The content object that a payload link leads to, if it is one.
    pub(crate) fn payload_link_target(
        &self,
        payload: &Checksum,
    ) -> Result<Option<Checksum>, durable::Error> {
        let path = ObjectName::new(*payload, ObjectKind::PayloadLink).loose_path(self.mode());
        let target = match rustix::fs::readlinkat(self.objects(), &path, Vec::new()) {
            Ok(target) => target,
            Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error).during("read link", &path),
        };
        // `../xx/yyyy.file`
        let name = target.to_str().ok().and_then(|target| {
            let (head, file) = target.strip_prefix("../")?.split_once('/')?;
            ObjectName::from_loose(head, file)
        });
        Ok(name.map(|name| name.checksum))
    }

    /// Take the repository's lock together with other writers; only a prune waits for it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock_shared(&self) -> Result<Option<Lock>, LockError> {
        self.lock(|dir, name, timeout| Lock::shared(dir, name, timeout).map(Some))
    }

    /// Keep a prune from beginning while the repository is read; without a lock where the repository
    /// cannot be written anyway.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock_for_reading(&self) -> Result<Option<Lock>, LockError> {
        self.lock(Lock::reading)
    }

    /// Take the repository's lock alone.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock_exclusive(&self) -> Result<Option<Lock>, LockError> {
        self.lock(|dir, name, timeout| Lock::exclusive(dir, name, timeout).map(Some))
    }

    fn lock(
        &self,
        take: fn(BorrowedFd<'_>, &Path, std::time::Duration) -> Result<Option<Lock>, LockError>,
    ) -> Result<Option<Lock>, LockError> {
        if !self.config.locking {
            return Ok(None);
        }
        take(self.dir(), Path::new(".lock"), self.config.lock_timeout)
    }

    /// Names of all loose objects below `objects/xx` for one `xx`.
    ///
    /// # Errors
    /// What the system said. A missing directory is empty.
    pub fn objects_in(&self, head: u8) -> Result<Vec<ObjectName>, durable::Error> {
        let head = format!("{head:02x}");
        let dir = match open_dir(self.objects(), Path::new(&head)) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(dir).during("list objects in", &head)? {
            let entry = entry.during("list objects in", &head)?;
            let file = entry.file_name().to_str().ok();
            names.extend(file.and_then(|file| ObjectName::from_loose(&head, file)));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Tell watchers that refs or deployments changed, as libostree does: by the directory's mtime.
    ///
    /// # Errors
    /// What the system said.
    pub fn touch(&self) -> Result<(), durable::Error> {
        let now = rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let times = rustix::fs::Timestamps {
            last_access: now,
            last_modification: now,
        };
        rustix::fs::futimens(&self.dir, &times).during("touch", ".")
    }
}

/// Open a directory.
pub(crate) fn open_dir(base: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, durable::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(base, path, flags, Mode::empty()).during("open directory", path)
}
