//! `bootroot ostree export`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use layer::TreeExport;
use ostree_format::Checksum;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Write the tree of a commit to standard output, as a tar archive
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Leave extended attributes out
    #[arg(long)]
    no_xattrs: bool,
    /// Export the sub-directory PATH
    #[arg(long, value_name = "PATH")]
    subpath: Option<String>,
    /// Put all names below PATH
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Output to PATH
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The commit
    commit: String,
}

/// What cannot be exported.
#[derive(Debug, thiserror::Error)]
enum CannotExport {
    #[error("No such file or directory: {path} in commit {commit}")]
    NoDirectory { commit: Checksum, path: String },
    #[error("cannot write {}", path.display())]
    Output {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Classified for CannotExport {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoDirectory { .. } => ErrorClass::NotFound,
            Self::Output { source, .. } => source.class(),
        }
    }
}

impl Export {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Some(path) = &self.output else {
            let mut out = context.results();
            self.export(context, &mut out)?;
            out.finish()?;
            return Ok(Exit::Done);
        };
        let failed = |source| CannotExport::Output {
            path: path.clone(),
            source,
        };
        let mut out = BufWriter::new(File::create(path).map_err(failed)?);
        self.export(context, &mut out)?;
        out.flush().map_err(failed)?;
        Ok(Exit::Done)
    }

    fn export(&self, context: &Context, out: &mut dyn Write) -> Result<(), Failure> {
        let repo = context.place().open_repository()?;
        let id = repo.resolve(&self.commit)?;
        let path = self.subpath.as_deref().unwrap_or_default();
        let found = repo.subtree(&id, path)?;
        let (contents, meta) = found.ok_or_else(|| CannotExport::NoDirectory {
            commit: id,
            path: path.to_owned(),
        })?;
        let options = TreeExport {
            prefix: self.prefix.as_deref().unwrap_or_default(),
            skip_xattrs: self.no_xattrs,
            time: repo.load_commit(&id)?.timestamp,
        };
        let tree = repo.load_tree(&contents, &meta)?;
        layer::export_tree(&repo, &tree, options, out, context.interrupt())?;
        Ok(())
    }
}
