//! Changing kernel arguments.

use boot_format::KernelArgs;
use progress::{Interrupt, Progress};
use sysroot::{
    ArgsBase, DeployRequest, Deployment, KernelArgsEdit, MergeFrom, Retain, State, Sysroot,
};

use crate::change::{apply, describe};
use crate::{Change, ChangeError, ChangeOptions};

/// How kernel arguments are changed: deleted, then replaced, then appended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArgsChange {
    /// `KEY=VALUE`, or `KEY` when it is there once.
    pub delete: Vec<String>,
    /// `KEY=NEW` for a key that is there once, or `KEY=OLD=NEW`.
    pub replace: Vec<String>,
    /// Added at the end.
    pub append: Vec<String>,
    /// Change the boot entry itself, so that nothing boots with the arguments as they were.
    pub in_place: bool,
}

impl ArgsChange {
    /// Whether there is nothing to change.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.replace.is_empty() && self.append.is_empty()
    }

    pub(crate) fn apply_to(&self, args: &mut KernelArgs) -> Result<(), ChangeError> {
        for arg in &self.delete {
            args.delete(arg)?;
        }
        for arg in &self.replace {
            args.replace(arg)?;
        }
        self.append.iter().for_each(|arg| args.append(arg));
        Ok(())
    }
}

/// Give the deployment that boots first other kernel arguments. Unless that is to happen in place, a new
/// deployment of the same commit is made, and what runs or booted first until now stays beside it with
/// its arguments.
///
/// # Errors
/// [`ChangeError`].
pub fn change_kernel_arguments(
    sysroot: &Sysroot,
    change: &ArgsChange,
    options: &ChangeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Change, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let state = locked.load()?;
    let first = state.deployments.first().ok_or(ChangeError::NoRollback)?;
    let mut args = first.kernel_args().without_ostree();
    let before = args.clone();
    change.apply_to(&mut args)?;
    if change.in_place || args == before {
        let plan = locked.plan_kernel_args(&state, &first.id, &args)?;
        return apply(&locked, &plan, options, progress);
    }
    let plan = locked.plan_deploy(&state, &request(first, args))?;
    if !options.dry_run {
        let policy = ::image::policy_of_commit(locked.repo(), &first.id.commit)?;
        locked.apply_deploy(&plan, policy.as_ref(), progress, interrupt)?;
    }
    Ok(describe(&plan.boot, &plan.dropped, !options.dry_run))
}

fn request(first: &Deployment, args: KernelArgs) -> DeployRequest {
    let mut request = DeployRequest::new(first.id.stateroot.clone(), first.id.commit);
    request.origin = first.origin.as_ref().map(sysroot::Origin::for_successor);
    request.merge = MergeFrom::Deployment(first.id.clone());
    request.kernel_args = KernelArgsEdit {
        base: ArgsBase::Args(args),
        ..KernelArgsEdit::default()
    };
    request.retain = Retain {
        rollback: true,
        ..Retain::default()
    };
    request
}

/// The kernel arguments of the deployment that boots first, without the one that selects it.
///
/// # Errors
/// [`ChangeError`].
pub fn kernel_arguments(sysroot: &Sysroot) -> Result<Vec<String>, ChangeError> {
    let state: State = sysroot.load()?;
    let first = state.deployments.first().ok_or(ChangeError::NoRollback)?;
    let args = first.kernel_args().without_ostree();
    Ok(args.iter().map(ToString::to_string).collect())
}
