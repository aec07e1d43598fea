//! What `upgrade` and `switch` have in common: fetching what an origin follows, and deploying it.

use std::path::Path;

use error_class::{Classified, ErrorClass};
use ostree::{Expect, RefEdit, Repo};
use ostree_format::refs::{RefName, Refspec};
use ostree_format::{Checksum, Commit};
use pull::{Options, Remote, WantedRef};
use sysroot::{
    DeployError, DeployRequest, DeploymentId, Locked, MergeFrom, Origin, State, StaterootName,
};

use super::answer;
use super::selection::{self, SelectionError};
use crate::context::Context;
use crate::environment;
use crate::outcome::Failure;
use crate::verbs::ostree::remote_access::RemoteAccess;

const GROUP: &str = "origin";
/// The key of a commit that says which branch goes on where this one ends.
const REBASE: &str = "ostree.endoflife-rebase";

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    #[error("No previous deployment for OS '{0}'")]
    NothingDeployed(StaterootName),
    #[error("No origin known for deployment {0}")]
    NoOrigin(Box<DeploymentId>),
    #[error("No origin/refspec in current deployment origin; cannot upgrade via ostree")]
    NoRefspec,
    #[error("origin unconfigured-state: {0}")]
    Unconfigured(String),
    #[error("Invalid override-commit {0}: it is no checksum")]
    Override(String),
    #[error(
        "Upgrade target revision '{new}' with timestamp '{new_time}' is chronologically older than \
         current revision '{old}' with timestamp '{old_time}'; use --allow-downgrade to permit"
    )]
    Older {
        new: Checksum,
        new_time: String,
        old: Checksum,
        old_time: String,
    },
}

impl Classified for UpgradeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NothingDeployed(_) => ErrorClass::NotFound,
            Self::NoOrigin(_)
            | Self::NoRefspec
            | Self::Unconfigured(_)
            | Self::Override(_)
            | Self::Older { .. } => ErrorClass::InvalidInput,
        }
    }
}

/// How to fetch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fetching {
    /// What is older than what is deployed is welcome too.
    pub(super) allow_older: bool,
    /// Take what is here already.
    pub(super) only_local: bool,
}

/// How a deployment comes to boot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Completing {
    /// When the system shuts down.
    pub(super) stage: bool,
    /// Its kernel takes over at the next reboot, without the firmware.
    pub(super) kexec: bool,
}

/// What follows the deployment that would be merged from.
pub(super) struct Upgrader {
    stateroot: StaterootName,
    merge: DeploymentId,
    pub(super) origin: Origin,
}

impl Upgrader {
    pub(super) fn new(state: &State, named: Option<&StaterootName>) -> Result<Self, Failure> {
        let stateroot = match selection::stateroot(state, named) {
            Err(SelectionError::NoStateroot) => return Err(SelectionError::NoStateroot.into()),
            other => other?,
        };
        let merge = state.merge_deployment(&stateroot);
        let merge = merge.ok_or_else(|| UpgradeError::NothingDeployed(stateroot.clone()))?;
        let no_origin = || UpgradeError::NoOrigin(Box::new(merge.id.clone()));
        Ok(Self {
            stateroot,
            origin: merge.origin.clone().ok_or_else(no_origin)?,
            merge: merge.id.clone(),
        })
    }

    /// Whoever made the system may want something to be done before it is upgraded.
    pub(super) fn check_configured(&self) -> Result<(), UpgradeError> {
        match self.origin.file().get(GROUP, "unconfigured-state") {
            Some(what) => Err(UpgradeError::Unconfigured(what)),
            None => Ok(()),
        }
    }

    pub(super) fn refspec(&self) -> Result<Refspec, Failure> {
        let refspec = self.origin.refspec().ok_or(UpgradeError::NoRefspec)?;
        Ok(refspec.parse()?)
    }

    fn override_commit(&self) -> Result<Option<Checksum>, UpgradeError> {
        let text = self.origin.file().get(GROUP, "override-commit");
        let parse = |text: String| text.parse().map_err(|_| UpgradeError::Override(text));
        text.map(parse).transpose()
    }

    /// Fetch what the origin follows. `None` when that is deployed already.
    pub(super) fn fetch(
        &mut self,
        context: &Context,
        repo: &Repo,
        how: Fetching,
    ) -> Result<Option<Checksum>, Failure> {
        let mut refspec = self.refspec()?;
        let chosen = self.override_commit()?;
        let older_than = (!how.allow_older).then_some(self.merge.commit);
        if let Some(remote) = refspec.remote.as_ref().filter(|_| !how.only_local) {
            let rev = chosen.map_or_else(|| refspec.name.to_string(), |commit| commit.to_string());
            fetch(context, repo, remote, &rev, older_than)?;
        }
        let branch = repo.resolve(&refspec.to_string())?;
        if let Some(next) = rebase_of(&repo.load_commit(&branch)?)? {
            refspec.name = next;
            if let Some(remote) = refspec.remote.as_ref().filter(|_| !how.only_local) {
                fetch(context, repo, remote, refspec.name.as_str(), None)?;
            }
            let text = refspec.to_string();
            self.origin.file_mut().set(GROUP, "refspec", &text);
        }
        if let Some(commit) = chosen {
            set_ref(repo, &refspec, Some(commit))?;
        }
        let found = repo.resolve(&refspec.to_string())?;
        if found == self.merge.commit {
            return Ok(None);
        }
        if let Some(old) = older_than {
            check_time(repo, &old, &found, &repo.load_commit(&found)?)?;
        }
        Ok(Some(found))
    }

    /// Deploy what was fetched, in front of the others or when the system shuts down.
    pub(super) fn deploy(
        &self,
        context: &Context,
        locked: &Locked<'_>,
        commit: Checksum,
        Completing { stage, kexec }: Completing,
    ) -> Result<(), Failure> {
        if stage && !locked.is_running() {
            return Err(DeployError::StageNotBooted.into());
        }
        let state = locked.load()?;
        let mut request = DeployRequest::new(self.stateroot.clone(), commit);
        request.origin = Some(self.origin.clone());
        request.merge = MergeFrom::Deployment(self.merge.clone());
        let policy = host::policy_of_commit(locked.repo(), &commit)?;
        let plan = locked.plan_deploy(&state, &request)?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        if stage {
            locked.stage(&plan, false, policy.as_ref(), progress, interrupt)?;
            return Ok(());
        }
        locked.apply_deploy(&plan, policy.as_ref(), progress, interrupt)?;
        if kexec && locked.is_running() {
            load_kernel(locked, &plan.deployment)?;
        }
        answer::transaction(context, &plan.boot, state.deployments.len())
    }
}

fn load_kernel(locked: &Locked<'_>, id: &DeploymentId) -> Result<(), Failure> {
    let state = locked.load()?;
    let Some(entry) = state.find(id).map(|found| &found.entry) else {
        return Ok(());
    };
    // Whether entries have the prefix /boot or not.
    let file = |key| {
        let path = entry.get(key)?;
        let path = path.strip_prefix("/boot/").unwrap_or(path);
        Some(Path::new("/boot").join(path.trim_start_matches('/')))
    };
    let (kernel, initrd) = (file("linux").unwrap_or_default(), file("initrd"));
    let line = entry.kernel_args().to_string();
    Ok(environment::load_kernel(&kernel, initrd.as_deref(), &line)?)
}

/// Let a ref hold a commit, or nothing.
pub(super) fn set_ref(
    repo: &Repo,
    refspec: &Refspec,
    commit: Option<Checksum>,
) -> Result<(), Failure> {
    Ok(repo.edit_refs(&[RefEdit {
        name: refspec.clone(),
        expect: Expect::Any,
        commit,
    }])?)
}

fn rebase_of(commit: &Commit) -> Result<Option<RefName>, Failure> {
    let next = commit.metadata.get_str(REBASE);
    Ok(next.map(str::parse).transpose()?)
}

/// Bring a ref or a commit of a remote here.
fn fetch(
    context: &Context,
    repo: &Repo,
    name: &str,
    rev: &str,
    older_than: Option<Checksum>,
) -> Result<(), Failure> {
    let place = context.place().of_admin();
    let repo = &place.with_remotes(repo)?;
    let remote = Remote::find(repo, name)?;
    let access = RemoteAccess::new(&place, repo, &remote, None)?;
    let mut options = Options::default();
    match rev.parse() {
        Ok(commit) => options.commits.push(commit),
        Err(_) => options.refs.push(WantedRef {
            name: rev.parse()?,
            commit: None,
        }),
    }
    options.timestamp_check_from = older_than;
    let (progress, interrupt) = (context.progress(), context.interrupt());
    let surroundings = access.surroundings();
    pull::pull(repo, &remote, &options, surroundings, progress, interrupt)?;
    Ok(())
}

fn check_time(repo: &Repo, old: &Checksum, new: &Checksum, commit: &Commit) -> Result<(), Failure> {
    let deployed = repo.load_commit(old)?;
    if commit.timestamp >= deployed.timestamp {
        return Ok(());
    }
    Err(UpgradeError::Older {
        new: *new,
        new_time: shown(commit.timestamp),
        old: *old,
        old_time: shown(deployed.timestamp),
    }
    .into())
}

fn shown(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    time.map_or_else(|| seconds.to_string(), |time| time.to_rfc3339())
}
