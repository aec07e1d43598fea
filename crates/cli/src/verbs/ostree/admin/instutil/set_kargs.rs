//! `bootroot ostree admin instutil set-kargs`

use boot_format::KernelArgs;
use clap::Args;

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::verbs::ostree::admin::system::System;
use crate::verbs::ostree::admin::{AdminError, answer};

/// Set new kernel command line arguments of the deployment that boots first
#[derive(Debug, Args)]
pub(crate) struct SetKargs {
    /// Start from the arguments of the running kernel
    #[arg(long)]
    import_proc_cmdline: bool,
    /// Start from the arguments of the first deployment
    #[arg(long)]
    merge: bool,
    /// Set a kernel argument, instead of those of the same name; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    replace: Vec<String>,
    /// Add a kernel argument beside those of the same name; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Arguments that are appended
    #[arg(value_name = "ARG")]
    args: Vec<String>,
}

impl SetKargs {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let state = locked.load()?;
        let first = state.deployments.first().ok_or(AdminError::NoDeployment)?;
        let mut args = self.base(&first.kernel_args())?;
        self.replace.iter().for_each(|arg| args.set(arg));
        let more = self.append.iter().chain(&self.args);
        more.for_each(|arg| args.append(arg));
        let plan = locked.plan_kernel_args(&state, &first.id, &args)?;
        locked.apply_list(&plan, None, context.progress())?;
        answer::transaction(context, &plan.boot, state.deployments.len())?;
        Ok(Exit::Done)
    }

    fn base(&self, previous: &KernelArgs) -> Result<KernelArgs, Failure> {
        if self.import_proc_cmdline {
            return Ok(environment::running_kernel_args()?);
        }
        Ok(if self.merge {
            previous.clone()
        } else {
            KernelArgs::new()
        })
    }
}
