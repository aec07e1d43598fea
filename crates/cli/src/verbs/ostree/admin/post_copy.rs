//! `bootroot ostree admin post-copy`

use clap::Args;
use error_class::{Classified, ErrorClass};

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Bring a system in order after its files were copied
///
/// What a copy of files loses is the fs-verity of objects, where the repository's config asks for that.
#[derive(Debug, Args)]
pub(crate) struct PostCopy {}

/// The repository wants what cannot be done.
#[derive(Debug, thiserror::Error)]
#[error(
    "the repository asks for fs-verity (ex-integrity.fsverity), which is not switched on by this program"
)]
struct Verity;

impl Classified for Verity {
    fn class(&self) -> ErrorClass {
        ErrorClass::Unsupported
    }
}

impl PostCopy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open(context)?;
        let config = &system.sysroot.repo().config().file;
        match config.get("ex-integrity", "fsverity").as_deref() {
            None | Some("no" | "false" | "0") => Ok(Exit::Done),
            Some(_) => Err(Verity.into()),
        }
    }
}
