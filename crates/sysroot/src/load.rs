//! Reading what is deployed, from the boot entries on.
//!
//! The entries are the source of truth, as in libostree: `boot/loader` names the active set, and each
//! entry's `ostree=` argument leads over a boot link to a deployment. Unlike libostree, an entry that
//! leads nowhere does not make everything unreadable: it is reported beside the deployments that are
//! there.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use boot_format::{BlsEntry, BootLink, BootVersion, EntryName, SubBootVersion};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree_format::{ObjectKind, ObjectName};
use rustix::fs::FileType;

use crate::deployment::{Problem, Unlocked};
use crate::running::Running;
use crate::staged::{StagedData, StagedError};
use crate::{Damage, DamagedEntry, Deployment, DeploymentId, Origin, Sysroot, dir};

/// Largest boot entry and origin file that is read.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// What is deployed.
#[derive(Debug)]
pub struct State {
    /// The active set of boot entries.
    pub boot_version: BootVersion,
    /// The active set of boot links.
    pub sub_boot_version: SubBootVersion,
    /// Deployments in boot order; one that is only staged is not among them.
    pub deployments: Vec<Deployment>,
    /// Entries that lead nowhere.
    pub damaged: Vec<DamagedEntry>,
    /// What is staged, or why that cannot be read.
    pub staged: Option<Result<StagedData, StagedError>>,
    /// Whether the stage is one that should have been completed at an earlier shutdown.
    pub stage_missed: bool,
    /// Index of the deployment that is running.
    pub booted: Option<usize>,
}

/// Why it could not be read what is deployed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// `boot/loader` is not a link.
    #[error("boot/loader is not a symbolic link: it is not known which boot entries are active")]
    LoaderNotALink,
    /// A link has a target that it cannot have.
    #[error("{link} points to {target:?}, which is none of its two possible targets")]
    LinkTarget {
        /// The link.
        link: String,
        /// Where it points.
        target: String,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for LoadError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::LoaderNotALink | Self::LinkTarget { .. } => ErrorClass::Corrupt,
            Self::Io(error) => error.class(),
        }
    }
}

impl State {
    /// The deployment that is running.
    #[must_use]
    pub fn booted(&self) -> Option<&Deployment> {
        self.deployments.get(self.booted?)
    }

    /// The deployment called `id`.
    #[must_use]
    pub fn find(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.deployments
            .iter()
            .find(|deployment| deployment.id == *id)
    }
}

impl Sysroot {
    /// Read what is deployed.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot even be told which entries are active; whatever is wrong with
    /// single deployments is part of the result.
    pub fn load(&self) -> Result<State, LoadError> {
        let boot_version = self.boot_version()?;
        let sub_boot_version = self.sub_boot_version(boot_version)?;
        let mut state = State {
            boot_version,
            sub_boot_version,
            deployments: Vec::new(),
            damaged: Vec::new(),
            staged: self
                .running
                .as_ref()
                .map(Running::staged)
                .transpose()?
                .flatten(),
            stage_missed: false,
            booted: None,
        };
        for (file, entry) in self.read_entries(boot_version, &mut state.damaged)? {
            match self.deployment_of(&file, entry) {
                Ok(deployment) => state.deployments.push(deployment),
                Err(damage) => state.damaged.push(DamagedEntry { file, damage }),
            }
        }
        state.booted = self.find_booted(&state.deployments)?;
        if state.staged.is_none() {
            let missed = self.missed_stage(&state.deployments)?;
            state.stage_missed = missed.is_some();
            state.staged = missed.map(Ok);
        }
        Ok(state)
    }

    fn boot_version(&self) -> Result<BootVersion, LoadError> {
        let path = "boot/loader";
        let Some(stat) = dir::stat_optional(self.boot_root(), path)? else {
            return Ok(BootVersion::ZERO);
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(LoadError::LoaderNotALink);
        }
        let target = dir::read_link_optional(self.boot_root(), path)?.unwrap_or_default();
        BootVersion::from_loader_target(target.as_os_str().as_bytes())
            .ok_or_else(|| wrong_target(path.to_owned(), &target))
    }

    pub(crate) fn sub_boot_version(
        &self,
        version: BootVersion,
    ) -> Result<SubBootVersion, LoadError> {
        let link = format!("ostree/{}", version.link_name());
        let Some(target) = dir::read_link_optional(self.dir(), &link)? else {
            return Ok(SubBootVersion::ZERO);
        };
        SubBootVersion::from_link_target(target.as_os_str().as_bytes())
            .ok_or_else(|| wrong_target(link, &target))
    }

    /// The entries of one set in boot order, each with the name of its file.
    fn read_entries(
        &self,
        version: BootVersion,
        damaged: &mut Vec<DamagedEntry>,
    ) -> Result<Vec<(String, BlsEntry)>, durable::Error> {
        let path = format!("boot/{}/entries", version.loader_dir());
        let Some(dir) = dir::open_optional(self.boot_root(), &path)? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for (name, kind) in dir::names_below(dir.as_fd(), ".")? {
            if !EntryName::is_ours(&name) || kind == FileType::Directory {
                continue;
            }
            match read_entry(dir.as_fd(), &name) {
                Ok(entry) => entries.push((name, entry)),
                Err(damage) => damaged.push(DamagedEntry { file: name, damage }),
            }
        }
        entries.sort_by(|a, b| a.1.boot_order(&b.1));
        Ok(entries)
    }

    /// The boot entries of one of the two sets in boot order, of the active one without `version`, whether
    /// they lead anywhere or not. Files that cannot be read are left out.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn entries_of(&self, version: Option<u32>) -> Result<Vec<BlsEntry>, LoadError> {
        let version = match version {
            None => self.boot_version()?,
            Some(0) => BootVersion::ZERO,
            Some(_) => BootVersion::ONE,
        };
        let entries = self.read_entries(version, &mut Vec::new())?;
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Follow an entry to its deployment.
    fn deployment_of(&self, file: &str, entry: BlsEntry) -> Result<Deployment, Damage> {
        let (link, id) = self.follow(&entry)?;
        let mut problems = Vec::new();
        let origin = self.read_origin(&id).unwrap_or_else(|cause| {
            problems.push(Problem::Origin { cause });
            None
        });
        problems.extend(self.missing_boot_files(&entry).map_err(unreadable)?);
        let commit = ObjectName::new(id.commit, ObjectKind::Commit);
        if !self.repo().has_object(&commit).map_err(unreadable)? {
            problems.push(Problem::MissingCommit);
        }
        Ok(Deployment {
            unlocked: self.unlocked(&id, origin.as_ref()).map_err(unreadable)?,
            boot_checksum: link.checksum,
            boot_serial: link.serial,
            entry_file: Some(file.to_owned()),
            id,
            entry,
            origin,
            problems,
        })
    }

    fn follow(&self, entry: &BlsEntry) -> Result<(BootLink, DeploymentId), Damage> {
        let argument = entry.ostree_arg().ok_or(Damage::NoArgument)?;
        let link: BootLink = argument.parse().map_err(Damage::Argument)?;
        let target = dir::read_link_optional(self.dir(), link.path())
            .map_err(unreadable)?
            .ok_or_else(|| Damage::NoLink { path: link.path() })?;
        let stateroot = link.stateroot.parse().map_err(Damage::Stateroot)?;
        let name = target
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let id = DeploymentId::from_directory(stateroot, &name).map_err(Damage::Target)?;
        match dir::open_optional(self.dir(), id.path()) {
            Ok(Some(_)) => Ok((link, id)),
            Ok(None) => Err(Damage::NoDeployment { path: id.path() }),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// The origin, `None` when there is no file; the error is the cause in words.
    pub(crate) fn read_origin(&self, id: &DeploymentId) -> Result<Option<Origin>, String> {
        let path = id.origin_path();
        let bytes = durable::read_optional(self.dir(), Path::new(&path), MAX_FILE)
            .map_err(|error| error.to_string())?;
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        Origin::parse(&text)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    fn missing_boot_files(&self, entry: &BlsEntry) -> Result<Vec<Problem>, durable::Error> {
        let mut missing = Vec::new();
        for key in ["linux", "initrd", "devicetree"] {
            let Some(path) = entry.get(key) else { continue };
            let path = path.strip_prefix(self.boot_config.prefix()).unwrap_or(path);
            let path = path.trim_start_matches('/').to_owned();
            let stat = dir::stat_optional(self.boot_root(), format!("boot/{path}"))?;
            if stat.is_none_or(|stat| stat.st_size == 0) {
                missing.push(Problem::MissingBootFile { path });
            }
        }
        Ok(missing)
    }

    fn unlocked(
        &self,
        id: &DeploymentId,
        origin: Option<&Origin>,
    ) -> Result<Unlocked, durable::Error> {
        if let Some(running) = &self.running {
            if running.has_mark(id, "unlocked-development")? {
                return Ok(Unlocked::Development);
            }
            if running.has_mark(id, "unlocked-transient")? {
                return Ok(Unlocked::Transient);
            }
        }
        let hotfix = origin.is_some_and(Origin::is_hotfix);
        Ok(if hotfix {
            Unlocked::Hotfix
        } else {
            Unlocked::None
        })
    }

    fn find_booted(&self, deployments: &[Deployment]) -> Result<Option<usize>, durable::Error> {
        let Some(running) = &self.running else {
            return Ok(None);
        };
        for (index, deployment) in deployments.iter().enumerate() {
            let path = deployment.id.path();
            let directory = dir::open(self.dir(), &path)?;
            let stat = rustix::fs::fstat(&directory).during("look at", &path)?;
            if running.is_root(stat.st_dev, stat.st_ino) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

fn wrong_target(link: String, target: &Path) -> LoadError {
    LoadError::LinkTarget {
        link,
        target: target.display().to_string(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of `map_err`")]
fn unreadable(error: durable::Error) -> Damage {
    Damage::Unreadable {
        cause: error.to_string(),
    }
}

fn read_entry(dir: BorrowedFd<'_>, name: &str) -> Result<BlsEntry, Damage> {
    let bytes = durable::read_optional(dir, Path::new(name), MAX_FILE).map_err(|error| {
        Damage::Unreadable {
            cause: error.to_string(),
        }
    })?;
    let text = String::from_utf8(bytes.unwrap_or_default()).map_err(|_| Damage::Unreadable {
        cause: "it is not UTF-8".to_owned(),
    })?;
    Ok(BlsEntry::parse(&text))
}
