//! `bootroot image cmd`

use std::ffi::OsString;

use clap::Args;
use error_class::{Classified, ErrorClass};

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Run `podman image` on the store of bound images
#[derive(Debug, Args)]
pub(crate) struct Cmd {
    /// What follows `podman image`: list, build, pull, push and their arguments
    #[arg(
        value_name = "ARG",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

/// The program failed, and has said why.
#[derive(Debug, thiserror::Error)]
#[error("podman failed: {0}")]
struct PodmanFailed(std::process::ExitStatus);

impl Classified for PodmanFailed {
    fn class(&self) -> ErrorClass {
        ErrorClass::Io
    }
}

impl Cmd {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.place().make_writable()?;
        let place = host::bound_store(&context.storage()?.sysroot()?)?;
        let status = environment::podman_image(&place.root, &place.run, &self.arguments)?;
        if !status.success() {
            return Err(PodmanFailed(status).into());
        }
        Ok(Exit::Done)
    }
}
