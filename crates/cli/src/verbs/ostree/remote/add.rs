//! `bootroot ostree remote add`

use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{IfPresent, Remote, Repo};

use super::gpg;
use crate::context::Context;
use crate::outcome::Failure;
use crate::remotes;
use crate::verbs::ostree::signatures;

/// Give a remote repository a name
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Give the remote the option KEY with VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Disable GPG verification
    #[arg(long)]
    no_gpg_verify: bool,
    /// Disable signature verification
    #[arg(long)]
    no_sign_verify: bool,
    /// Verify signatures with a key: KIND=inline:KEY or KIND=file:PATH (repeatable)
    #[arg(
        long,
        value_name = "KIND=[inline|file]:KEY",
        conflicts_with = "no_sign_verify"
    )]
    sign_verify: Vec<String>,
    /// Import GPG keys from FILE
    #[arg(long, value_name = "FILE")]
    gpg_import: Option<PathBuf>,
    /// Keep a remote that is there, without an error
    #[arg(long, conflicts_with = "force")]
    if_not_exists: bool,
    /// Replace a remote that is there
    #[arg(long)]
    force: bool,
    /// Another program fetches what this remote has
    #[arg(long, value_name = "NAME")]
    custom_backend: Option<String>,
    /// Where files are fetched from, if not from where the refs are
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

/// An option that cannot be understood.
#[derive(Debug, thiserror::Error)]
enum AddError {
    #[error("Missing '=' in KEY=VALUE for --set")]
    NoValue,
    #[error("Failed to parse KEYTYPE=[inline|file]:DATA in {0}")]
    KeySpec(String),
    #[error("Invalid key reference {0}, expected inline|file")]
    KeyReference(String),
}

impl Classified for AddError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Add {
    pub(super) fn run(self, context: &Context, repo: &mut Repo) -> Result<(), Failure> {
        let how = match (self.if_not_exists, self.force) {
            (true, _) => IfPresent::Keep,
            (_, true) => IfPresent::Replace,
            _ => IfPresent::Fail,
        };
        let into_directory = repo
            .config()
            .file
            .get_bool("core", "add-remotes-config-dir");
        // Where a deployment keeps its remotes, unless the repository's config says otherwise.
        let directory = context.place().remotes_directory();
        match directory.filter(|_| into_directory.unwrap_or(true)) {
            Some(directory) => remotes::add(repo, &directory, &self.remote()?, how)?,
            None => {
                repo.add_remote(&self.remote()?, how)?;
            }
        }
        match self.gpg_import {
            Some(file) => gpg::import_file(context, repo, &self.name, file),
            None => Ok(()),
        }
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
            let (key, value) = pair.split_once('=').ok_or(AddError::NoValue)?;
            remote.set(key, value);
        }
        if self.no_gpg_verify || self.no_sign_verify {
            remote.set("gpg-verify", "false");
        }
        if self.no_sign_verify {
            remote.set("sign-verify", "false");
        }
        self.set_keys(&mut remote)?;
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

    fn set_keys(&self, remote: &mut Remote) -> Result<(), Failure> {
        let mut kinds = Vec::new();
        for text in &self.sign_verify {
            let parts = text.split_once('=');
            let (kind, key) = parts.ok_or_else(|| AddError::KeySpec(text.clone()))?;
            let scheme = signatures::scheme(kind)?;
            let parts = key.split_once(':');
            let (what, key) = parts.ok_or_else(|| AddError::KeyReference(key.to_owned()))?;
            let option = match what {
                "inline" => format!("verification-{scheme}-key"),
                "file" => format!("verification-{scheme}-file"),
                other => return Err(AddError::KeyReference(other.to_owned()).into()),
            };
            remote.set(&option, key);
            kinds.push(scheme.name());
        }
        if !kinds.is_empty() {
            remote.set("sign-verify", &kinds.join(","));
        }
        Ok(())
    }
}
