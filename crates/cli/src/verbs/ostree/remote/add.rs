//! `bootroot ostree remote add`

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{IfPresent, Remote, Repo};

use crate::outcome::Failure;

/// Add a remote repository
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Set config option KEY=VALUE for remote
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Disable GPG verification
    #[arg(long)]
    no_gpg_verify: bool,
    /// Disable signature verification
    #[arg(long)]
    no_sign_verify: bool,
    /// Do nothing if the provided remote exists
    #[arg(long, conflicts_with = "force")]
    if_not_exists: bool,
    /// Replace the provided remote if it exists
    #[arg(long)]
    force: bool,
    /// This remote has content not fetched via libostree
    #[arg(long, value_name = "NAME")]
    custom_backend: Option<String>,
    /// Use URL when fetching content
    #[arg(long, value_name = "URL")]
    contenturl: Option<String>,
    /// Globally unique ID of the remote as a collection of refs
    #[arg(long, value_name = "ID")]
    collection_id: Option<String>,
    /// The name of the remote
    name: String,
    /// Where it is; metalink=URL and mirrorlist=URL name lists of places
    #[arg(required_unless_present = "custom_backend")]
    url: Option<String>,
    /// Branches to fetch
    #[arg(value_name = "BRANCH")]
    branches: Vec<String>,
}

/// `--set` without a value.
#[derive(Debug, thiserror::Error)]
#[error("Missing '=' in KEY=VALUE for --set")]
struct NoValue;

impl Classified for NoValue {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Add {
    pub(super) fn run(self, repo: &mut Repo) -> Result<(), Failure> {
        let how = match (self.if_not_exists, self.force) {
            (true, _) => IfPresent::Keep,
            (_, true) => IfPresent::Replace,
            _ => IfPresent::Fail,
        };
        repo.add_remote(&self.remote()?, how)?;
        Ok(())
    }

    fn remote(&self) -> Result<Remote, Failure> {
        let mut remote = Remote::new(&self.name, self.url.as_deref().unwrap_or_default())?;
        if self.url.is_none() {
            remote.options.clear();
        }
        if let Some(url) = &self.contenturl {
            remote.set("contenturl", url);
        }
        if !self.branches.is_empty() {
            remote.set("branches", &format!("{};", self.branches.join(";")));
        }
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or(NoValue)?;
            remote.set(key, value);
        }
        if self.no_gpg_verify || self.no_sign_verify {
            remote.set("gpg-verify", "false");
        }
        if self.no_sign_verify {
            remote.set("sign-verify", "false");
        }
        let named = [
            ("collection-id", &self.collection_id),
            ("custom-backend", &self.custom_backend),
        ];
        for (key, value) in named {
            if let Some(value) = value {
                remote.set(key, value);
            }
        }
        Ok(remote)
    }
}
