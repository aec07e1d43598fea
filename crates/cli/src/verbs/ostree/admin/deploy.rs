//! `bootroot ostree admin deploy`

use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::TransactionOptions;
use sysroot::{
    ArgsBase, DeployRequest, KernelArgsEdit, MergeFrom, Origin, OverlayInitrd, Retain, State,
    StaterootName,
};

use super::system::System;
use super::{answer, selection};
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Deploy a commit, so that it boots first from now on
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent switches"
)]
pub(crate) struct Deploy {
    /// The stateroot to deploy into [default: that of the running deployment]
    #[arg(long, alias = "os", value_name = "STATEROOT")]
    stateroot: Option<StaterootName>,
    /// Specify origin file [default: one that follows REFSPEC]
    #[arg(long, value_name = "FILENAME")]
    origin_file: Option<PathBuf>,
    /// Leave objects that nothing needs any more in the repository
    #[arg(long)]
    no_prune: bool,
    /// Start with the /etc of the commit and without kernel arguments
    #[arg(long)]
    no_merge: bool,
    /// Keep all earlier deployments
    #[arg(long)]
    retain: bool,
    /// Keep deployments that would have booted next
    #[arg(long)]
    retain_pending: bool,
    /// Keep deployments that one can go back to
    #[arg(long)]
    retain_rollback: bool,
    /// Only prepare it; the system completes it when it shuts down
    #[arg(long)]
    stage: bool,
    /// Prepare it, but do not complete it at shutdown before it is unlocked
    #[arg(long)]
    lock_finalization: bool,
    /// Put it behind the others instead of in front
    #[arg(long)]
    not_as_default: bool,
    /// Start from the arguments of the running kernel
    #[arg(long)]
    karg_proc_cmdline: bool,
    /// Start without kernel arguments
    #[arg(long)]
    karg_none: bool,
    /// Set a kernel argument, instead of those of the same name; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    karg: Vec<String>,
    /// Add a kernel argument beside those of the same name; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    karg_append: Vec<String>,
    /// Remove a kernel argument where it is there; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    karg_delete: Vec<String>,
    /// Have the boot loader load FILE behind the initramfs; may be repeated
    #[arg(long, value_name = "FILE")]
    overlay_initrd: Vec<PathBuf>,
    /// What to deploy: a ref, or the checksum of a commit
    #[arg(value_name = "REFSPEC")]
    refspec: String,
}

/// Options that exclude each other, or an origin file that is none.
#[derive(Debug, thiserror::Error)]
enum DeployUsageError {
    #[error("Can't specify both {0} and {1}")]
    Both(&'static str, &'static str),
    #[error("OSTREE_REPO_TEST_ERROR_PRE_COMMIT specified")]
    Interrupted,
    #[error("--stage cannot currently be combined with {0}")]
    Stage(&'static str),
    #[error("{} is no origin file: {cause}", path.display())]
    OriginFile { path: PathBuf, cause: String },
    #[error("cannot read the initrd {}", path.display())]
    Initrd {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Classified for DeployUsageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Initrd { source, .. } => source.class(),
            Self::Interrupted => ErrorClass::Interrupted,
            Self::Both(..) | Self::Stage(_) | Self::OriginFile { .. } => ErrorClass::InvalidInput,
        }
    }
}

impl Deploy {
    pub(crate) fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        // What nobody may complete has to be staged.
        self.stage |= self.lock_finalization;
        self.check()?;
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let state = locked.load()?;
        let request = self.request(&system, &state)?;
        let policy = host::policy_of_commit(locked.repo(), &request.commit)?;
        let plan = locked.plan_deploy(&state, &request)?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        if self.stage {
            let hold = self.lock_finalization;
            locked.stage(&plan, hold, policy.as_ref(), progress, interrupt)?;
            return Ok(Exit::Done);
        }
        if let Some(boot) = environment::interrupted_commit() {
            // libostree writes the refs of deployments in a transaction.
            let transaction = locked.repo().begin(TransactionOptions::default())?;
            transaction.leave_staged(&boot)?;
            return Err(DeployUsageError::Interrupted.into());
        }
        locked.apply_deploy(&plan, policy.as_ref(), progress, interrupt)?;
        locked.repo().use_up_staged()?;
        answer::transaction(context, &plan.boot, state.deployments.len())?;
        if !self.no_prune {
            system.prune(context)?;
        }
        Ok(Exit::Done)
    }

    fn check(&self) -> Result<(), DeployUsageError> {
        let deletes = !self.karg_delete.is_empty();
        let both = [
            (
                self.karg_proc_cmdline && self.karg_none,
                "--karg-proc-cmdline",
                "--karg-none",
            ),
            (self.karg_none && deletes, "--karg-none", "--karg-delete"),
            (self.no_merge && deletes, "--no-merge", "--karg-delete"),
        ];
        if let Some((_, one, other)) = both.into_iter().find(|(given, ..)| *given) {
            return Err(DeployUsageError::Both(one, other));
        }
        if self.stage && (self.retain_pending || self.retain_rollback) {
            return Err(DeployUsageError::Stage("--retain arguments"));
        }
        if self.stage && self.not_as_default {
            return Err(DeployUsageError::Stage("--not-as-default"));
        }
        Ok(())
    }

    fn request(&self, system: &System, state: &State) -> Result<DeployRequest, Failure> {
        let stateroot = selection::stateroot(state, self.stateroot.as_ref())?;
        let commit = system.sysroot.repo().resolve(&self.refspec)?;
        let mut request = DeployRequest::new(stateroot, commit);
        request.origin = Some(self.origin()?);
        request.kernel_args = self.kernel_args()?;
        if self.no_merge {
            request.merge = MergeFrom::Nothing;
        }
        request.retain = Retain {
            all: self.retain,
            pending: self.retain_pending,
            rollback: self.retain_rollback,
        };
        request.not_default = self.not_as_default;
        request.overlay_initrds = self.initrds()?;
        Ok(request)
    }

    fn initrds(&self) -> Result<Vec<OverlayInitrd>, DeployUsageError> {
        let read = |path: &PathBuf| match std::fs::read(path) {
            Ok(content) => Ok(OverlayInitrd::new(content)),
            Err(source) => Err(DeployUsageError::Initrd {
                path: path.clone(),
                source,
            }),
        };
        self.overlay_initrd.iter().map(read).collect()
    }

    fn origin(&self) -> Result<Origin, Failure> {
        let Some(path) = &self.origin_file else {
            return Ok(Origin::from_refspec(&self.refspec));
        };
        let failed = |cause: String| DeployUsageError::OriginFile {
            path: path.clone(),
            cause,
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let origin = Origin::parse(&text).map_err(|error| failed(error.to_string()))?;
        Ok(origin)
    }

    fn kernel_args(&self) -> Result<KernelArgsEdit, Failure> {
        let base = if self.karg_none {
            ArgsBase::Nothing
        } else if self.karg_proc_cmdline {
            ArgsBase::Args(environment::running_kernel_args()?)
        } else {
            ArgsBase::Merge
        };
        Ok(KernelArgsEdit {
            base,
            set: self.karg.clone(),
            append: self.karg_append.clone(),
            delete: self.karg_delete.clone(),
        })
    }
}
