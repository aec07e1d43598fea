//! `bootroot ostree refs --collections`

use std::io::Write;

use error_class::{Classified, ErrorClass};
use ostree::{CollectionRef, Repo};
use ostree_format::refs::InvalidRef;

use super::{Refs, summary};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// A new ref that cannot be made.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error("Invalid collection ID or ref {0}: COLLECTION:REF is expected")]
    Form(String),
    #[error("--create specified but ref {0} already exists")]
    Exists(CollectionRef),
}

impl Classified for CreateError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

pub(super) fn run(verb: &Refs, context: &Context, repo: &Repo) -> Result<Exit, Failure> {
    match (&verb.create, verb.delete) {
        (Some(new), _) => create(verb, repo, new)?,
        (None, true) => {
            for (reference, _) in matching(verb, repo, false)? {
                repo.set_collection_ref(&reference, None)?;
            }
        }
        (None, false) => return print(verb, context, repo),
    }
    summary::follow_refs(repo)?;
    Ok(Exit::Done)
}

fn print(verb: &Refs, context: &Context, repo: &Repo) -> Result<Exit, Failure> {
    let mut out = context.results();
    for (reference, commit) in matching(verb, repo, true)? {
        if verb.revision {
            writeln!(out, "{reference}\t{commit}")?;
        } else {
            writeln!(out, "{reference}")?;
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// The refs of the collections that were named, or of all.
fn matching(
    verb: &Refs,
    repo: &Repo,
    with_remotes: bool,
) -> Result<Vec<(CollectionRef, ostree_format::Checksum)>, Failure> {
    let mut refs = repo.list_collection_refs(with_remotes)?;
    refs.retain(|(reference, _)| {
        verb.prefix.is_empty() || verb.prefix.contains(&reference.collection)
    });
    Ok(refs)
}

fn create(verb: &Refs, repo: &Repo, new: &str) -> Result<(), Failure> {
    let malformed = || CreateError::Form(new.to_owned());
    let (collection, name) = new.split_once(':').ok_or_else(malformed)?;
    let reference = CollectionRef {
        collection: collection.to_owned(),
        name: name.parse().map_err(|error: InvalidRef| error)?,
    };
    if !collection.contains('.') || collection.contains('/') {
        return Err(malformed().into());
    }
    let commit = repo.resolve(verb.target())?;
    if !verb.force && repo.read_collection_ref(&reference)?.is_some() {
        return Err(CreateError::Exists(reference).into());
    }
    Ok(repo.set_collection_ref(&reference, Some(commit))?)
}
