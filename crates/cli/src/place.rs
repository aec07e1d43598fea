//! Which repository or system a command is about.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use composefs_root::{RootArgument, Roots, RunningRoot};
use error_class::{Classified, ErrorClass};
use host::{
    Backend, BootedComposefs, BootedOstree, Environment, RunningFacts, RunningSystem, Storage,
    StorageError,
};
use ostree::Repo;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use trust::KeyStores;

use crate::arguments::Options;
use crate::environment;
use crate::outcome::{Failure, Hinted};
use crate::private_mounts;
use crate::remotes;

/// The physical root of a running system.
const RUNNING: &str = "/sysroot";

/// What a service manager has that can change to another root.
const SOFT_REBOOT: &str = "/usr/lib/systemd/system/soft-reboot.target";

/// Is there when the kernel has SELinux switched on.
const SELINUX: &str = "/sys/fs/selinux/status";

/// The repository below a physical root.
const REPOSITORY: &str = "ostree/repo";

/// Where an administrator configures remotes, below a root.
const REMOTES: &str = "etc/ostree/remotes.d";

/// Which repository or system a command is about.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The running system.
    Running,
    /// The system with this physical root.
    Sysroot(PathBuf),
    /// This repository, without a system around it.
    Repository(PathBuf),
}

/// The place that was meant cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {what} {}", path.display())]
pub(crate) struct PlaceError {
    verb: &'static str,
    what: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl Classified for PlaceError {
    fn class(&self) -> ErrorClass {
        self.source.class()
    }
}

impl Place {
    pub(crate) fn new(options: &Options) -> Self {
        match (&options.repo, &options.sysroot) {
            (Some(repo), _) => Self::Repository(repo.clone()),
            (None, Some(root)) => Self::Sysroot(root.clone()),
            (None, None) => Self::Running,
        }
    }

    /// The place of `ostree admin`: without options that of `OSTREE_SYSROOT`.
    pub(crate) fn of_admin(&self) -> Self {
        let is_running = |path: &Path| path == Path::new("/") || path == Path::new(RUNNING);
        match (self, environment::ostree_sysroot()) {
            (Self::Running, Some(path)) if !is_running(&path) => Self::Sysroot(path),
            _ => self.clone(),
        }
    }

    /// The path of the physical root; of a repository alone, of that.
    pub(crate) fn root_path(&self) -> &Path {
        match self {
            Self::Running => Path::new(RUNNING),
            Self::Sysroot(path) | Self::Repository(path) => path,
        }
    }

    /// Where a deployment keeps its remotes, when that is what `--sysroot` names: a root whose physical root
    /// is at `sysroot` in it.
    pub(crate) fn remotes_directory(&self) -> Option<PathBuf> {
        let Self::Sysroot(path) = self else {
            return None;
        };
        let is_deployment = path.join("sysroot/ostree").is_dir();
        is_deployment.then(|| path.join(REMOTES))
    }

    /// Where the remotes are that the repository knows beside those of its config: those of the deployment
    /// that runs, for the repository of the running system.
    pub(crate) fn outer_remotes_directory(&self) -> Option<PathBuf> {
        let of_system = Path::new(RUNNING).join(REPOSITORY);
        match self {
            Self::Running if self.repository_path() != of_system => None,
            _ => self.system_remotes_directory(),
        }
    }

    fn system_remotes_directory(&self) -> Option<PathBuf> {
        match self {
            Self::Running => Some(Path::new("/").join(REMOTES)),
            _ => self.remotes_directory(),
        }
    }

    /// The repository of a system, once more, with the remotes that its deployment has.
    pub(crate) fn with_remotes(&self, repo: &Repo) -> Result<Repo, Failure> {
        let mut repo = Repo::open(repo.dir().try_clone_to_owned()?)?;
        if let Some(directory) = self.system_remotes_directory() {
            repo.add_outer_remotes(remotes::all(&directory)?);
        }
        Ok(repo)
    }

    /// Lets this process change the physical root of the running system, which may be mounted read-only
    /// for everybody else.
    pub(crate) fn make_writable(&self) -> Result<(), Failure> {
        match self {
            Self::Running => Ok(private_mounts::make_writable(&[RUNNING, "/boot"])?),
            Self::Sysroot(_) | Self::Repository(_) => Ok(()),
        }
    }

    /// The stores that are there.
    pub(crate) fn open(&self) -> Result<Storage, Failure> {
        match self {
            Self::Repository(_) => Ok(Storage::of_repository(self.open_repository()?)),
            Self::Sysroot(_) | Self::Running => self
                .root()
                .and_then(|root| Ok(Storage::open(root, self.running()?)?))
                .map(|storage| storage.with_options(environment::sysroot_options()))
                .map(|storage| storage.in_boot(environment::boot_id()))
                .map_err(|failure| self.advise(failure)),
        }
    }

    /// The deployments of the system, whatever makes its roots: decided here, and nowhere else. Of a system that does
    /// not run, roots are images of composefs when OSTree has deployed nothing.
    pub(crate) fn backend(&self) -> Result<Box<dyn Backend>, Failure> {
        let running = match self {
            Self::Running => Some(Environment::detect(&environment::surroundings()?)?),
            Self::Sysroot(_) | Self::Repository(_) => None,
        };
        match running {
            Some(Environment::Composefs(argument)) => Ok(Box::new(self.roots(Some(argument))?)),
            None if self.has_only_roots() => Ok(Box::new(self.roots(None)?)),
            _ => Ok(Box::new(BootedOstree::new(self.open()?.sysroot()?))),
        }
    }

    fn has_only_roots(&self) -> bool {
        let is_empty = |mut dir: std::fs::ReadDir| dir.next().is_none();
        let deployed = std::fs::read_dir(self.root_path().join("ostree/deploy"));
        self.root_path().join("state/deploy").is_dir() && deployed.map_or(true, is_empty)
    }

    /// Makes the directory of a system whose root shall be an image of composefs.
    pub(crate) fn create_for_roots(&self) -> Result<(), Failure> {
        if let Self::Sysroot(path) = self {
            make_dir(path)?;
        }
        Ok(host::link_bootc(self.root()?.as_fd())?)
    }

    /// The deployments whose roots are images of composefs; the running system has `argument` as its root.
    pub(crate) fn roots(&self, argument: Option<RootArgument>) -> Result<BootedComposefs, Failure> {
        let running = argument.map(|argument| -> Result<RunningRoot, Failure> {
            Ok(RunningRoot {
                run: open_dir("the runtime directory", Path::new("/run"))?,
                root: open_dir("the root directory", Path::new("/"))?,
                argument,
                kernel_args: environment::running_kernel_args()?,
            })
        });
        let roots = Roots::open(self.root()?, running.transpose()?)?;
        Ok(BootedComposefs::new(roots, self.root()?))
    }

    /// The stores of a system, which is made where there is none yet; the running one is there already.
    pub(crate) fn create(&self) -> Result<Storage, Failure> {
        let Self::Sysroot(path) = self else {
            return self.open();
        };
        make_dir(path)?;
        Ok(Storage::create(self.root()?)?)
    }

    /// The physical root, also for verbs that make a system out of an empty directory.
    pub(crate) fn root(&self) -> Result<OwnedFd, Failure> {
        match self {
            Self::Running => Ok(open_dir("the running system", Path::new(RUNNING))?),
            Self::Sysroot(path) => Ok(open_dir("the system root", path)?),
            Self::Repository(_) => {
                Err(StorageError::NoSystem).hint("use --sysroot DIR instead of --repo DIR")
            }
        }
    }

    /// What the running system can do, as far as it is the place.
    pub(crate) fn running_facts(&self) -> RunningFacts {
        if !matches!(self, Self::Running) {
            return RunningFacts::default();
        }
        RunningFacts {
            soft_reboot: Path::new(SOFT_REBOOT).exists(),
            selinux: Path::new(SELINUX).exists(),
            read_only: private_mounts::is_read_only_medium(Path::new(RUNNING)),
        }
    }

    /// What tells which deployment was booted, for the running system only.
    fn running(&self) -> Result<Option<RunningSystem>, Failure> {
        if !matches!(self, Self::Running) {
            return Ok(None);
        }
        let run = open_dir("the runtime directory", Path::new("/run"))?;
        let root = open_dir("the root directory", Path::new("/"))?;
        Ok(Some(RunningSystem { run, root }))
    }

    /// Where the repository is. Without options that is the current directory when it is a repository,
    /// as with the `ostree` command, else that of `OSTREE_REPO`, and else that of the running system.
    pub(crate) fn repository_path(&self) -> PathBuf {
        match self {
            Self::Repository(path) => path.clone(),
            Self::Sysroot(path) => path.join(REPOSITORY),
            Self::Running if is_repository(Path::new(".")) => ".".into(),
            Self::Running => environment::ostree_repository()
                .unwrap_or_else(|| self.of_admin().root_path().join(REPOSITORY)),
        }
    }

    /// The repository alone, for verbs that care for nothing else.
    pub(crate) fn open_repository(&self) -> Result<Repo, Failure> {
        let repo = Repo::open_at(CWD, &self.repository_path());
        let mut repo = repo.map_err(|error| self.advise(error.into()))?;
        if let Some(directory) = self.outer_remotes_directory() {
            repo.add_outer_remotes(remotes::all(&directory)?);
        }
        if let Some(boot) = environment::boot_id() {
            repo.set_boot(boot);
        }
        Ok(repo)
    }

    /// Where keys for signatures are.
    pub(crate) fn key_stores(&self) -> Result<KeyStores, Failure> {
        let root = open_dir("the root directory", Path::new("/"))?;
        let stores = environment::key_stores(KeyStores::new(root));
        Ok(match self {
            Self::Repository(_) => stores,
            Self::Sysroot(root) => {
                stores.with_remotes(std::path::absolute(root.join(REMOTES)).unwrap_or_default())
            }
            Self::Running => stores.with_remotes(Path::new("/").join(REMOTES)),
        })
    }

    /// What to do when there is nothing there.
    fn advise(&self, failure: Failure) -> Failure {
        if !failure.is_not_found() {
            return failure;
        }
        failure.with_hint(match self {
            Self::Running => {
                "name a system with --sysroot DIR, or a repository with --repo DIR".to_owned()
            }
            Self::Sysroot(path) => format!(
                "`bootroot deploy --sysroot {}` makes a system there",
                path.display()
            ),
            Self::Repository(path) => format!(
                "`bootroot ostree init --repo {}` makes a repository there",
                path.display()
            ),
        })
    }
}

fn is_repository(path: &Path) -> bool {
    path.join("config").is_file() && path.join("objects").is_dir()
}

/// Makes a directory; one that is there is fine.
fn make_dir(path: &Path) -> Result<(), PlaceError> {
    match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(PlaceError {
            verb: "make",
            what: "the system root",
            path: path.to_owned(),
            source: errno.into(),
        }),
    }
}

/// Opens a directory of the user's choice; everything below works on the descriptor.
pub(crate) fn open_dir(what: &'static str, path: &Path) -> Result<OwnedFd, PlaceError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno: Errno| PlaceError {
        verb: "open",
        what,
        path: path.to_owned(),
        source: errno.into(),
    })
}
