//! Deploying a commit that is in the repository already.

use ostree::PruneOptions;
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{ArgsBase, DeployRequest, KernelArgsEdit, Origin, StaterootName, Sysroot};

use crate::text::text;
use crate::{ChangeError, ChangeOptions};

/// What is to be deployed.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "everything must be said")]
pub struct Revision {
    /// Where to; it must be there.
    pub stateroot: StaterootName,
    /// The commit.
    pub commit: Checksum,
    /// The ref or checksum that the deployment follows.
    pub refspec: String,
    /// Kernel arguments that are added to those of the deployment that this one follows.
    pub append: Vec<String>,
}

/// A deployment that was made.
#[derive(Debug, Clone, Serialize)]
pub struct DeployedRevision {
    /// The stateroot.
    pub stateroot: String,
    /// The commit.
    #[serde(serialize_with = "text")]
    pub commit: Checksum,
    /// Its number among deployments of that commit.
    pub serial: u32,
    /// Its directory below the physical root.
    pub path: String,
    /// The version that the commit says it is.
    pub version: Option<String>,
    /// Its kernel arguments, without the one that selects it.
    pub kernel_arguments: Vec<String>,
}

/// Makes a commit boot first, and removes objects that nothing leads to from then on.
///
/// # Errors
/// [`ChangeError`]; which deployments boot has not changed, unless it is [`ChangeError::Prune`].
pub fn deploy_revision(
    sysroot: &Sysroot,
    revision: &Revision,
    options: &ChangeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<DeployedRevision, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let plan = locked.plan_deploy(&locked.load()?, &request(revision))?;
    if !options.dry_run {
        let policy = ::image::policy_of_commit(sysroot.repo(), &revision.commit)?;
        locked.apply_deploy(&plan, policy.as_ref(), progress, interrupt)?;
        let unreachable = PruneOptions::without_ancestors();
        locked.repo().prune(&unreachable, progress, interrupt)?;
    }
    let id = &plan.deployment;
    Ok(DeployedRevision {
        stateroot: id.stateroot.to_string(),
        commit: id.commit,
        serial: id.serial,
        path: id.path(),
        version: plan.version.clone(),
        kernel_arguments: plan.kernel_args.without_ostree().to_strings(),
    })
}

fn request(revision: &Revision) -> DeployRequest {
    let mut request = DeployRequest::new(revision.stateroot.clone(), revision.commit);
    request.origin = Some(Origin::from_refspec(&revision.refspec));
    request.kernel_args = KernelArgsEdit {
        base: ArgsBase::Merge,
        append: revision.append.clone(),
        ..KernelArgsEdit::default()
    };
    request
}
