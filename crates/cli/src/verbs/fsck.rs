//! `bootroot fsck`

use std::io::Write;
use std::os::fd::AsFd as _;

use clap::Args;
use error_class::ErrorClass;
use host::{BoundPlace, Stores};
use rustix::fs::AtFlags;

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::verbs::source::SourceOptions;

/// Read and hash everything in all stores of the system
///
/// With --repair, what is damaged or missing is taken from the other store, or else fetched from where its image came
/// from: only what has the same digest and is signed as the policy asks.
#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// Mend what is wrong, as far as that is possible
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    source: SourceOptions,
}

impl Fsck {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.repair {
            context.place().make_writable()?;
        }
        let root = context.place().root()?;
        let has_commits = rustix::fs::statat(&root, "ostree/repo", AtFlags::empty()).is_ok();
        let repo = has_commits.then(|| context.place().open_repository());
        let repo = repo.transpose()?;
        let store = host::composefs_store(root.as_fd())?;
        // A system that cannot be read needs nothing that could be told.
        let backend = context.place().backend().ok();
        let backend = backend.as_ref();
        let roots = backend.and_then(|backend| backend.bound_roots().ok());
        let roots = roots.unwrap_or_default();
        let strict = backend.and_then(|backend| backend.strict_images().ok());
        let strict = strict.unwrap_or_default();
        let place = BoundPlace::new(root.as_fd(), None);
        let stores = Stores::new(repo.as_ref(), store.as_ref()).with_bound(place, &roots);
        let stores = stores.with_strict(&strict);
        let access = self.source.access_at(context.place())?;
        let mend = self.repair.then(|| (&access, environment::now()));
        let checked = host::fsck(stores, mend, context.progress(), context.interrupt())?;
        let mut out = context.results();
        for problem in &checked.found {
            let word = if checked.left.contains(problem) {
                ""
            } else {
                "mended: "
            };
            writeln!(out, "{word}{problem}")?;
        }
        for problem in &checked.left {
            if !checked.found.contains(problem) {
                writeln!(out, "{problem}")?;
            }
        }
        writeln!(
            out,
            "{} objects: {}",
            checked.objects,
            match checked.left.len() {
                0 => "nothing is wrong".to_owned(),
                count => format!("{count} things are wrong"),
            }
        )?;
        out.finish()?;
        Ok(match checked.left.is_empty() {
            true => Exit::Done,
            false => Exit::Answered(ErrorClass::Corrupt),
        })
    }
}
