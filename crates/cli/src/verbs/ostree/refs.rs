//! `bootroot ostree refs`

mod collections;

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{Expect, RefError, Repo, TransactionOptions};
use ostree_format::Checksum;
use ostree_format::refs::{InvalidRef, RefName, Refspec};

use super::summary;
use crate::context::Context;
use crate::outcome::{Exit, Failure, Hinted};

/// List refs
#[derive(Debug, Args)]
pub(crate) struct Refs {
    /// Delete the refs below PREFIX
    #[arg(long, requires = "prefix", conflicts_with = "create")]
    delete: bool,
    /// Show the refs with their whole names
    #[arg(long)]
    list: bool,
    /// Show the commits as well
    #[arg(short, long)]
    revision: bool,
    /// Let a new ref name the commit
    #[arg(long, value_name = "NEWREF", requires = "prefix")]
    create: Option<String>,
    /// List the refs that follow another ref; with --create, make one
    #[arg(short = 'A', long, conflicts_with = "delete")]
    alias: bool,
    /// Replace a ref that is there
    #[arg(long)]
    force: bool,
    /// Work on the refs of collections, as (COLLECTION, REF)
    #[arg(short = 'c', long, conflicts_with = "alias")]
    collections: bool,
    /// Only refs below PREFIX, or of the collection PREFIX; with --create, the commit
    prefix: Vec<String>,
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

/// Without the ref, its alias would lead nowhere.
#[derive(Debug, thiserror::Error)]
#[error("Ref '{name}' has an active alias: '{alias}'")]
struct Followed {
    name: String,
    alias: RefName,
}

impl Classified for Followed {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Only refs that are there follow and are followed, and only those of the repository itself.
#[derive(Debug, thiserror::Error)]
enum AliasError {
    #[error("Cannot create alias to remote ref")]
    OfRemote,
    #[error("Cannot create alias to non-existent ref: {0}")]
    Missing(String),
}

impl Classified for AliasError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::OfRemote => ErrorClass::InvalidInput,
            Self::Missing(_) => ErrorClass::NotFound,
        }
    }
}

impl Refs {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        if self.collections {
            return collections::run(&self, context, &repo);
        }
        match (&self.create, self.delete) {
            (Some(new), _) => self.create(context, &repo, &new.parse()?)?,
            (None, true) => self.delete(context, &repo)?,
            (None, false) if self.alias => print_aliases(context, &repo)?,
            (None, false) => self.print(context, &repo)?,
        }
        if self.create.is_some() || self.delete {
            summary::follow_refs(&repo)?;
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
        let prefixes: Result<Vec<_>, _> = self.prefix.iter().map(|p| Prefix::parse(p)).collect();
        let prefixes = prefixes?;
        let whole = self.list || self.delete;
        let mut shown = Vec::new();
        for (refspec, commit) in repo.list_refs()? {
            if prefixes.is_empty() {
                shown.push((refspec.to_string(), commit));
            }
            let names = prefixes
                .iter()
                .filter_map(|p| p.shown_name(&refspec, whole));
            shown.extend(names.map(|name| (name, commit)));
        }
        shown.sort();
        shown.dedup();
        Ok(shown)
    }

    fn create(&self, context: &Context, repo: &Repo, new: &Refspec) -> Result<(), Failure> {
        let replaces_alias = self.alias && is_alias(repo, new)?;
        if !self.force && !replaces_alias && repo.read_ref(new)?.is_some() {
            return Err(Exists(new.clone())).hint("use --force to let it name another commit");
        }
        if self.alias {
            return self.follow(repo, new);
        }
        let commit = repo.resolve(self.target())?;
        let expect = if self.force {
            Expect::Any
        } else {
            Expect::Absent
        };
        change(context, repo, [(new.clone(), expect, Some(commit))])
    }

    /// What a new ref is to name.
    fn target(&self) -> &str {
        self.prefix.first().map_or("", String::as_str)
    }

    /// Lets the new ref follow the other.
    fn follow(&self, repo: &Repo, new: &Refspec) -> Result<(), Failure> {
        let target: Refspec = self.target().parse()?;
        if target.remote.is_some() || new.remote.is_some() {
            return Err(AliasError::OfRemote.into());
        }
        if repo.read_ref(&target)?.is_none() {
            return Err(AliasError::Missing(target.to_string()).into());
        }
        Ok(repo.set_ref_alias(&new.name, &target.name)?)
    }

    fn delete(&self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let matching = self.matching(repo)?;
        refuse_followed(repo, &matching)?;
        let edits: Result<Vec<_>, InvalidRef> = matching
            .into_iter()
            .map(|(name, commit)| Ok((name.parse()?, Expect::Exactly(commit), None)))
            .collect();
        change(context, repo, edits?)
    }
}

fn refuse_followed(repo: &Repo, refs: &[(String, Checksum)]) -> Result<(), Failure> {
    for (alias, target) in repo.list_ref_aliases()? {
        if let Some((name, _)) = refs.iter().find(|(name, _)| *name == target.as_str()) {
            let name = name.clone();
            return Err(Followed { name, alias }.into());
        }
    }
    Ok(())
}

/// The beginning of refs: `NAME`, `REMOTE:NAME` or `REMOTE:`.
struct Prefix {
    remote: Option<String>,
    name: Option<RefName>,
}

impl Prefix {
    fn parse(text: &str) -> Result<Self, InvalidRef> {
        if let Some(remote) = text.strip_suffix(':').or_else(|| text.strip_suffix(":.")) {
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

fn is_alias(repo: &Repo, name: &Refspec) -> Result<bool, RefError> {
    let aliases = repo.list_ref_aliases()?;
    Ok(name.remote.is_none() && aliases.iter().any(|(alias, _)| *alias == name.name))
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
