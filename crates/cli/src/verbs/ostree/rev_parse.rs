//! `bootroot ostree rev-parse`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::{Checksum, ObjectKind};

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Print the checksum of the commit that is meant
#[derive(Debug, Args)]
pub(crate) struct RevParse {
    /// If the repository has exactly one commit, print it; any other case is an error
    #[arg(short = 'S', long, conflicts_with = "revs")]
    single: bool,
    /// Refs, checksums or beginnings of them; each may end with ^ for the parent
    #[arg(value_name = "REV", required_unless_present = "single")]
    revs: Vec<String>,
}

/// `--single` needs exactly one commit.
#[derive(Debug, thiserror::Error)]
enum NotSingle {
    #[error("No commit objects found")]
    None,
    #[error("Multiple commit objects found")]
    Many,
}

impl Classified for NotSingle {
    fn class(&self) -> ErrorClass {
        match self {
            Self::None => ErrorClass::NotFound,
            Self::Many => ErrorClass::InvalidInput,
        }
    }
}

impl RevParse {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let mut out = context.results();
        if self.single {
            writeln!(out, "{}", single(&repo)?)?;
        }
        for rev in &self.revs {
            writeln!(out, "{}", repo.resolve(rev)?)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// The one commit of the repository.
fn single(repo: &Repo) -> Result<Checksum, Failure> {
    let mut found = None;
    for head in 0..=u8::MAX {
        for name in repo.objects_in(head)? {
            if name.kind == ObjectKind::Commit && found.replace(name.checksum).is_some() {
                return Err(NotSingle::Many.into());
            }
        }
    }
    Ok(found.ok_or(NotSingle::None)?)
}
