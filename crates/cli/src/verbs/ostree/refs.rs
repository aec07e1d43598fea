//! `bootroot ostree refs`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{Expect, RefError, Repo, TransactionOptions};
use ostree_format::Checksum;
use ostree_format::refs::{InvalidRef, RefName, Refspec};

use crate::context::Context;
use crate::outcome::{Exit, Failure, Hinted};

/// List refs
#[derive(Debug, Args)]
pub(crate) struct Refs {
    /// Delete refs which match PREFIX, rather than listing them
    #[arg(long, requires = "prefix", conflicts_with = "create")]
    delete: bool,
    /// Do not remove the prefix from the refs
    #[arg(long)]
    list: bool,
    /// Show the commits as well
    #[arg(short, long)]
    revision: bool,
    /// Create a new ref for an existing commit
    #[arg(long, value_name = "NEWREF", requires = "prefix")]
    create: Option<Refspec>,
    /// List the refs that follow another ref; with --create, make one
    #[arg(short = 'A', long, conflicts_with = "delete")]
    alias: bool,
    /// Overwrite existing refs when creating
    #[arg(long)]
    force: bool,
    /// Only refs below PREFIX; with --create, the commit
    prefix: Option<String>,
}

/// `--create` without `--force` keeps what is there.
#[derive(Debug, thiserror::Error)]
#[error("ref {0} already exists")]
struct Exists(Refspec);

impl Classified for Exists {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Only refs of the repository itself follow and are followed.
#[derive(Debug, thiserror::Error)]
#[error("Cannot create alias to remote ref")]
struct RemoteAlias;

impl Classified for RemoteAlias {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Refs {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        match (&self.create, self.delete) {
            (Some(new), _) => self.create(context, &repo, new)?,
            (None, true) => self.delete(context, &repo)?,
            (None, false) if self.alias => print_aliases(context, &repo)?,
            (None, false) => self.print(context, &repo)?,
        }
        Ok(Exit::Done)
    }

    fn print(&self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let mut out = context.results();
        for (name, commit) in self.matching(repo)? {
            if self.revision {
                writeln!(out, "{name}\t{commit}")?;
            } else {
                writeln!(out, "{name}")?;
            }
        }
        Ok(out.finish()?)
    }

    /// The refs that are meant, under the names that are shown, sorted by them.
    fn matching(&self, repo: &Repo) -> Result<Vec<(String, Checksum)>, Failure> {
        let prefix = self.prefix.as_deref().map(Prefix::parse).transpose()?;
        let whole = self.list || self.delete;
        let mut shown = Vec::new();
        for (refspec, commit) in repo.list_refs()? {
            let name = match &prefix {
                None => Some(refspec.to_string()),
                Some(prefix) => prefix.shown_name(&refspec, whole),
            };
            shown.extend(name.map(|name| (name, commit)));
        }
        shown.sort();
        Ok(shown)
    }

    fn create(&self, context: &Context, repo: &Repo, new: &Refspec) -> Result<(), Failure> {
        let commit = repo.resolve(self.prefix.as_deref().unwrap_or_default())?;
        if !self.force && repo.read_ref(new)?.is_some() {
            return Err(Exists(new.clone())).hint("use --force to let it name another commit");
        }
        if self.alias {
            return self.follow(repo, new);
        }
        let expect = if self.force {
            Expect::Any
        } else {
            Expect::Absent
        };
        change(context, repo, [(new.clone(), expect, Some(commit))])
    }

    /// Lets the new ref follow the other.
    fn follow(&self, repo: &Repo, new: &Refspec) -> Result<(), Failure> {
        let target: Refspec = self.prefix.as_deref().unwrap_or_default().parse()?;
        if target.remote.is_some() || new.remote.is_some() {
            return Err(RemoteAlias.into());
        }
        if repo.read_ref(&target)?.is_none() {
            return Err(RefError::NotFound(target.to_string()).into());
        }
        Ok(repo.set_ref_alias(&new.name, &target.name)?)
    }

    fn delete(&self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let matching = self.matching(repo)?.into_iter();
        let edits: Result<Vec<_>, InvalidRef> = matching
            .map(|(name, commit)| Ok((name.parse()?, Expect::Exactly(commit), None)))
            .collect();
        change(context, repo, edits?)
    }
}

/// The beginning of refs: `NAME`, `REMOTE:NAME` or `REMOTE:`.
struct Prefix {
    remote: Option<String>,
    name: Option<RefName>,
}

impl Prefix {
    fn parse(text: &str) -> Result<Self, InvalidRef> {
        if let Some(remote) = text.strip_suffix(':') {
            return Ok(Self {
                remote: Some(remote.to_owned()),
                name: None,
            });
        }
        let Refspec { remote, name } = text.parse()?;
        Ok(Self {
            remote,
            name: Some(name),
        })
    }

    /// The name under which a ref is shown, if it is below this.
    fn shown_name(&self, refspec: &Refspec, whole: bool) -> Option<String> {
        let full = refspec.to_string();
        if self.remote != refspec.remote {
            return None;
        }
        let Some(prefix) = self.name.as_ref().filter(|prefix| **prefix != refspec.name) else {
            return Some(full);
        };
        let below = refspec
            .name
            .as_str()
            .strip_prefix(prefix.as_str())?
            .strip_prefix('/')?;
        Some(match &refspec.remote {
            _ if whole => full,
            Some(remote) => format!("{remote}:{below}"),
            None => below.to_owned(),
        })
    }
}

fn print_aliases(context: &Context, repo: &Repo) -> Result<(), Failure> {
    let mut out = context.results();
    for (alias, target) in repo.list_ref_aliases()? {
        writeln!(out, "{alias} -> {target}")?;
    }
    Ok(out.finish()?)
}

/// Changes refs, all of them or none.
fn change(
    context: &Context,
    repo: &Repo,
    edits: impl IntoIterator<Item = (Refspec, Expect, Option<Checksum>)>,
) -> Result<(), Failure> {
    let transaction = repo.begin(TransactionOptions::default())?;
    for (refspec, expect, commit) in edits {
        transaction.set_ref(refspec, expect, commit);
    }
    transaction.commit(context.progress(), context.interrupt())?;
    Ok(())
}
