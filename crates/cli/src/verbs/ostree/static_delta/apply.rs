//! `bootroot ostree static-delta apply-offline` and `verify`

use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::Args;
use ostree::Repo;
use static_delta::{DeltaFile, Superblock};

use super::keys::{self, KeysError, VerifyKeys};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Apply a static delta that lies in a directory or file
#[derive(Debug, Args)]
pub(crate) struct ApplyOffline {
    /// The directory of the delta, or its file
    path: PathBuf,
    #[command(flatten)]
    keys: VerifyKeys,
}

/// Verify the signatures of a static delta
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// TO, FROM-TO, or the path of a file
    delta: String,
    #[command(flatten)]
    keys: VerifyKeys,
}

impl ApplyOffline {
    pub(crate) fn run(self, repo: &Repo, context: &Context) -> Result<Exit, Failure> {
        let (bytes, dir) = super::locate(&self.path)?;
        let file = DeltaFile::from_bytes(bytes)?;
        self.check_signatures(repo, &file, context)?;
        let delta = Superblock::from_bytes(&file.superblock)?;
        repo.apply_delta(&delta, dir.as_fd(), context.progress(), context.interrupt())?;
        Ok(Exit::Done)
    }

    /// A signed delta is verified when there are keys, and must be when the config says so. An unsigned one is
    /// refused then, too, other than by libostree: whoever can change a delta can take its envelope off.
    fn check_signatures(
        &self,
        repo: &Repo,
        file: &DeltaFile,
        context: &Context,
    ) -> Result<(), Failure> {
        let config = &repo.config().file;
        let required = config.get_bool("core", "sign-verify-deltas") == Some(true);
        if !file.is_signed() {
            let refused = required.then_some(KeysError::Unsigned);
            return refused.map_or(Ok(()), |error| Err(error.into()));
        }
        let verifier = match self.keys.verifier(&context.place().key_stores()?) {
            Ok(verifier) if verifier.is_empty() && !self.keys.are_given() => None,
            Err(_) if !self.keys.are_given() => None,
            other => Some(other?),
        };
        match verifier {
            Some(verifier) => keys::verify(file, &verifier).map(drop)?,
            None if required => return Err(KeysError::NoKey.into()),
            None => {}
        }
        Ok(())
    }
}

impl Verify {
    pub(crate) fn run(self, repo: &Repo, context: &Context) -> Result<Exit, Failure> {
        let verifier = self.keys.verifier(&context.place().key_stores()?)?;
        let file = super::load(repo, &self.delta)?;
        let verified = keys::verify(&file, &verifier);
        let mut out = context.results();
        let outcome = if verified.is_ok() { "OK" } else { "fails" };
        writeln!(out, "Verification {outcome}")?;
        out.finish()?;
        verified?;
        Ok(Exit::Done)
    }
}
