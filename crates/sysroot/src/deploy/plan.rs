use std::fmt;

use boot_format::{BlsEntry, BootVersion, KernelArgs, SubBootVersion};
use ostree_format::{Checksum, RepoMode};
use rustix::fs::FileType;
use serde::Serialize;

use super::request::{DeployRequest, MergeFrom};
use super::select::{Rules, select};
use super::{DeployError, MergeError, SpacePlan, VarPlan, var};
use crate::boot::BootPlan;
use crate::boot::plan::Wanted;
use crate::etc::EtcPlan;
use crate::load::State;
use crate::{
    Deployment, DeploymentId, Kernel, Origin, OverlayInitrd, StaterootName, Sysroot, Unlocked, dir,
};

/// What deploying a commit would do.
#[derive(Debug, Clone, Serialize)]
pub struct DeployPlan {
    /// What the new deployment is called.
    pub deployment: DeploymentId,
    /// The version that the commit says it is.
    pub version: Option<String>,
    /// Its kernel arguments, without those that are added when the entry is written.
    pub kernel_args: KernelArgs,
    /// The kernel.
    pub kernel: Kernel,
    /// The deployment that is merged from.
    pub merge: Option<DeploymentId>,
    /// Additional initrds.
    pub overlay_initrds: Vec<OverlayInitrd>,
    /// What is carried over in `/etc`.
    pub etc: Option<EtcPlan>,
    /// What happens to `/var`.
    pub var: VarPlan,
    /// Deployments that no longer boot and are removed afterwards.
    pub dropped: Vec<DeploymentId>,
    /// Those of them that have to go first, because `/boot` cannot hold their kernels beside the new one.
    pub dropped_first: Vec<DeploymentId>,
    /// Boot entries that lead nowhere and are not written again.
    pub dropped_entries: Vec<String>,
    /// Boot entries and links.
    pub boot: BootPlan,
    /// Space.
    pub space: SpacePlan,
    /// The text of the origin file.
    #[serde(serialize_with = "origin_text")]
    pub(crate) origin: Option<Origin>,
    /// The deployments that are to boot.
    #[serde(skip)]
    pub(crate) wanted: Vec<Wanted>,
    /// What the plan was made for.
    #[serde(skip)]
    pub(crate) basis: Basis,
}

fn origin_text<S: serde::Serializer>(origin: &Option<Origin>, out: S) -> Result<S::Ok, S::Error> {
    origin.as_ref().map(ToString::to_string).serialize(out)
}

/// What is deployed, as far as a plan depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Basis {
    versions: (BootVersion, SubBootVersion),
    deployments: Vec<(DeploymentId, String)>,
}

impl Basis {
    pub(crate) fn of(state: &State) -> Self {
        let deployment = |d: &Deployment| (d.id.clone(), d.entry.to_string());
        Self {
            versions: (state.boot_version, state.sub_boot_version),
            deployments: state.deployments.iter().map(deployment).collect(),
        }
    }
}

impl Sysroot {
    /// Plan to deploy a commit. Nothing is written.
    ///
    /// A plan is also made where it cannot be carried out for lack of space or because of changes in
    /// `/etc`, so that it can be shown.
    ///
    /// # Errors
    /// [`DeployError`] when it cannot be said what would be written.
    pub fn plan_deploy(
        &self,
        state: &State,
        request: &DeployRequest,
    ) -> Result<DeployPlan, DeployError> {
        self.check_request(request)?;
        let (commit, kernel) = self.examine(&request.commit)?;
        let merge = self.merge_deployment(state, request)?;
        let serial = self.next_serial(state, request)?;
        let deployment = new_deployment(request, serial, &kernel, merge)?;
        let (wanted, dropped) = arrange(state, request, merge, &deployment, &kernel);
        let boot = self.plan_boot(state, &wanted)?;
        let etc = merge
            .map(|merge| self.plan_etc(&merge.id, &request.commit))
            .transpose()?;
        let var = self.plan_var(&request.stateroot, &request.commit)?;
        let room = self.boot_room(state, &boot, &request.overlay_initrds)?;
        Ok(DeployPlan {
            space: self.plan_space(self.bytes_copied(&request.commit, var)?, &room)?,
            dropped_first: room.first,
            version: commit.metadata.get_str("version").map(ToOwned::to_owned),
            kernel_args: deployment.entry.kernel_args(),
            deployment: deployment.id,
            kernel,
            merge: merge.map(|merge| merge.id.clone()),
            overlay_initrds: request.overlay_initrds.clone(),
            etc,
            var,
            dropped,
            dropped_entries: state
                .damaged
                .iter()
                .map(|damaged| damaged.file.clone())
                .collect(),
            boot,
            origin: request.origin.clone(),
            wanted,
            basis: Basis::of(state),
        })
    }

    fn check_request(&self, request: &DeployRequest) -> Result<(), DeployError> {
        if self.repo().mode() != RepoMode::Bare {
            return Err(DeployError::RepoMode(self.repo().mode()));
        }
        if !self.has_stateroot(&request.stateroot)? {
            return Err(DeployError::NoStateroot(request.stateroot.clone()));
        }
        Ok(())
    }

    fn merge_deployment<'a>(
        &self,
        state: &'a State,
        request: &DeployRequest,
    ) -> Result<Option<&'a Deployment>, DeployError> {
        match &request.merge {
            MergeFrom::Nothing => Ok(None),
            MergeFrom::Deployment(id) => match state.find(id) {
                Some(found) => Ok(Some(found)),
                None => Err(MergeError::NoDeployment(Box::new(id.clone())).into()),
            },
            MergeFrom::Usual => Ok(state.merge_deployment(&request.stateroot)),
        }
    }

    /// One more than the highest number among the deployments of the same commit that are led to.
    /// What an interrupted call has left behind does not count: it is removed before.
    fn next_serial(&self, state: &State, request: &DeployRequest) -> Result<u32, DeployError> {
        let stale = self.plan_cleanup(state)?.deployments;
        let path = format!("{}/deploy", request.stateroot.path());
        let there = dir::names_below(self.dir(), path)?.into_iter();
        let dirs = there.filter(|(_, kind)| *kind == FileType::Directory);
        let id = |name: &str| DeploymentId::from_directory(request.stateroot.clone(), name).ok();
        let ids = dirs.filter_map(|(name, _)| id(&name));
        let same = ids.filter(|id| id.commit == request.commit && !stale.contains(id));
        Ok(same
            .map(|id| id.serial.saturating_add(1))
            .max()
            .unwrap_or(0))
    }

    fn bytes_copied(&self, commit: &Checksum, var: VarPlan) -> Result<u64, DeployError> {
        let etc = match self.repo().subtree(commit, "usr/etc")? {
            Some((contents, _)) => var::bytes_below(self, &contents)?,
            None => 0,
        };
        Ok(etc
            + if let VarPlan::Fill { bytes } = var {
                bytes
            } else {
                0
            })
    }
}

/// The deployment as it will be, but for what is said of it only in its boot entry.
fn new_deployment(
    request: &DeployRequest,
    serial: u32,
    kernel: &Kernel,
    merge: Option<&Deployment>,
) -> Result<Deployment, DeployError> {
    let inherited = merge.map(Deployment::kernel_args);
    let args = request.kernel_args.resolve(inherited.as_ref())?;
    let mut entry = BlsEntry::new();
    if !args.is_empty() {
        entry.set("options", &args.to_string());
    }
    let overlays = request.overlay_initrds.iter();
    entry.set_overlay_initrds(overlays.map(OverlayInitrd::entry_path).collect());
    let stateroot = request.stateroot.clone();
    Ok(Deployment {
        id: DeploymentId {
            stateroot,
            commit: request.commit,
            serial,
        },
        boot_checksum: kernel.checksum.clone(),
        boot_serial: 0,
        entry,
        entry_file: None,
        origin: request.origin.clone(),
        unlocked: Unlocked::None,
        problems: Vec::new(),
    })
}

impl State {
    /// The deployment whose `/etc` and kernel arguments a new one of the stateroot inherits: the
    /// running one, else the first.
    #[must_use]
    pub fn merge_deployment(&self, stateroot: &StaterootName) -> Option<&Deployment> {
        let is_of = |deployment: &&Deployment| deployment.id.stateroot == *stateroot;
        self.booted()
            .filter(is_of)
            .or_else(|| self.deployments.iter().find(is_of))
    }
}

/// The deployments in the order in which they will boot, and those that will not.
fn arrange(
    state: &State,
    request: &DeployRequest,
    merge: Option<&Deployment>,
    new: &Deployment,
    kernel: &Kernel,
) -> (Vec<Wanted>, Vec<DeploymentId>) {
    let rules = Rules {
        stateroot: &request.stateroot,
        booted: state.booted().map(|booted| &booted.id),
        merge: merge.map(|merge| &merge.id),
        retain: request.retain,
        not_default: request.not_default,
    };
    let selection = select(&state.deployments, rules);
    let mut wanted = Vec::new();
    let mut dropped = Vec::new();
    for (index, deployment) in state.deployments.iter().enumerate() {
        if selection.kept.contains(&index) {
            wanted.push(Wanted::existing(deployment.clone()));
        } else {
            dropped.push(deployment.id.clone());
        }
    }
    let new = Wanted {
        deployment: new.clone(),
        kernel: Some(kernel.clone()),
    };
    wanted.insert(selection.position.min(wanted.len()), new);
    (wanted, dropped)
}

/// What it does, for people.
impl fmt::Display for DeployPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.deployment;
        writeln!(f, "deploy {id}")?;
        if let Some(version) = &self.version {
            writeln!(f, "  version      {version}")?;
        }
        writeln!(
            f,
            "  kernel       {}",
            self.kernel.version.as_deref().unwrap_or("(older layout)")
        )?;
        writeln!(f, "  arguments    {}", self.kernel_args)?;
        if let Some(merge) = &self.merge {
            writeln!(f, "  merged from  {merge}")?;
        }
        if let Some(etc) = &self.etc {
            let (changed, removed, added) =
                (etc.modified.len(), etc.removed.len(), etc.added.len());
            writeln!(
                f,
                "  /etc         {changed} changed, {removed} removed, {added} added locally"
            )?;
            etc.blocks
                .iter()
                .try_for_each(|block| writeln!(f, "  impossible   {block}"))?;
        }
        if let VarPlan::Fill { bytes } = self.var {
            writeln!(f, "  /var         filled with {bytes} bytes")?;
        }
        let SpacePlan {
            root_needed,
            boot_needed,
            ..
        } = self.space;
        writeln!(
            f,
            "  space        {root_needed} bytes, and {boot_needed} in /boot"
        )?;
        for entry in &self.boot.entries {
            let mark = if entry.deployment == *id {
                "new entry"
            } else {
                "entry"
            };
            writeln!(
                f,
                "  {mark:<12} {}",
                entry.entry.get("title").unwrap_or_default()
            )?;
        }
        self.dropped
            .iter()
            .try_for_each(|id| writeln!(f, "  removed      {id}"))?;
        self.dropped_first
            .iter()
            .try_for_each(|id| writeln!(f, "  removed first, as /boot is small: {id}"))?;
        self.dropped_entries
            .iter()
            .try_for_each(|file| writeln!(f, "  damaged entry {file} is dropped"))
    }
}
