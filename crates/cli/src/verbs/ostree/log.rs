//! `bootroot ostree log`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, ObjectKind, ObjectName};

use super::show;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Show a commit and those before it
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Print the stored values as they are
    #[arg(long)]
    raw: bool,
    /// The newest commit
    #[arg(value_name = "REV")]
    rev: String,
}

/// A ref or a command line names a commit that is not there.
#[derive(Debug, thiserror::Error)]
#[error("no such metadata object {0}.commit")]
struct NoCommit(Checksum);

impl Classified for NoCommit {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

impl Log {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let first = repo.resolve(&self.rev)?;
        let form = show::Form {
            raw: self.raw,
            byteswap: true,
        };
        let mut out = context.results();
        let mut next = Some(first);
        while let Some(id) = next {
            let name = ObjectName::new(id, ObjectKind::Commit);
            if !show::metadata_object(&repo, name, form, &mut out)? {
                if id == first {
                    return Err(NoCommit(id).into());
                }
                writeln!(out, "<< History beyond this commit not fetched >>")?;
                break;
            }
            next = repo.load_commit(&id)?.parent;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}
