//! Options of verbs that fetch from where images come from.

use std::path::{Path, PathBuf};

use clap::Args;
use host::Access;

use crate::environment;
use crate::outcome::Failure;
use crate::place::open_dir;

/// How images are reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source options")]
pub(crate) struct SourceOptions {
    /// Use credentials from FILE only [default: those of the system, then those of the user]
    #[arg(long, value_name = "FILE", conflicts_with = "anonymous")]
    authfile: Option<PathBuf>,
    /// Use no credentials
    #[arg(long, visible_alias = "auth-anonymous")]
    anonymous: bool,
    /// Accept plain HTTP and any certificate from the registry of the image
    #[arg(long)]
    insecure_skip_tls_verification: bool,
}

impl SourceOptions {
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        let of_user = environment::credentials();
        Ok(Access {
            root: open_dir("the root directory", Path::new("/"))?,
            files: open_dir("the current directory", Path::new("."))?,
            authfile: self.authfile.clone().or(of_user.chosen),
            anonymous: self.anonymous,
            user_files: of_user.usual,
            ca_bundle: environment::ca_bundle(),
            insecure: self.insecure_skip_tls_verification,
            seed: u64::from(std::process::id()),
        })
    }
}
