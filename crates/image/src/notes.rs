//! What is noted of a merge commit after it was made.
//!
//! Usually its detached metadata, where ostree-ext keeps such, too. But `ostree-prepare-root` of libostree, which mounts roots
//! only when they are signed, looks for the signatures of the commit in the image only where the merge commit has no detached
//! metadata of its own. So what is noted of such an image is in a file beside it: what would be detached metadata, in
//! `extensions/bootroot/COMMIT` of the repository.

use std::path::PathBuf;

use durable::IoContext as _;
use ostree::{ReadError, Repo, TransactionOptions, WriteError};
use ostree_format::{Checksum, Metadata, ObjectKind, ObjectName};
use progress::{Interrupt, Silent};
use rustix::fs::{Dir, Mode, OFlags};

/// Where files with notes are.
const NOTES: &str = "extensions/bootroot";

/// Largest file that is read.
const MAX_NOTES: u64 = 16 * 1024 * 1024;

/// What is noted of a commit.
///
/// # Errors
/// [`ReadError`] when its detached metadata cannot be read. A damaged file counts as an empty one.
pub(crate) fn noted(repo: &Repo, commit: &Checksum) -> Result<Metadata, ReadError> {
    if let Some(bytes) = durable::read_optional(repo.dir(), &path(commit), MAX_NOTES)? {
        return Ok(Metadata::from_bytes(&bytes).unwrap_or_default());
    }
    Ok(repo.load_detached_metadata(commit)?.unwrap_or_default())
}

/// Change what is noted of a commit; what is not touched stays.
///
/// # Errors
/// [`WriteError`]; the old notes are untouched then.
pub(crate) fn edit(
    repo: &Repo,
    commit: &Checksum,
    change: impl FnOnce(&mut Metadata),
) -> Result<(), WriteError> {
    // Notes that cannot be parsed are replaced: they were of no use to anybody.
    let before = noted(repo, commit).unwrap_or_default();
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return Ok(());
    }
    if is_signed_within(repo, commit) {
        return Ok(write_file(repo, commit, &after)?);
    }
    let txn = repo.begin(TransactionOptions::default())?;
    txn.write_detached_metadata(*commit, &after)?;
    txn.commit(&Silent, &Interrupt::default()).map(drop)
}

/// Whether it is the commit in the image that has detached metadata, and the merge commit has none.
fn is_signed_within(repo: &Repo, commit: &Checksum) -> bool {
    let has = |commit: &Checksum| matches!(repo.load_detached_metadata(commit), Ok(Some(_)));
    let parent = || repo.load_commit(commit).ok()?.parent;
    !has(commit) && parent().is_some_and(|base| has(&base))
}

fn write_file(repo: &Repo, commit: &Checksum, notes: &Metadata) -> Result<(), durable::Error> {
    durable::create_dir_all(repo.dir(), NOTES.as_ref(), 0o755)?;
    remove_lost(repo)?;
    durable::publish(repo.dir(), &path(commit), &notes.to_bytes(), 0o644)
}

/// Removes what was noted of commits that are gone.
fn remove_lost(repo: &Repo) -> Result<(), durable::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(repo.dir(), NOTES, flags, Mode::empty()).during("open", NOTES)?;
    for entry in Dir::read_from(&dir).during("list", NOTES)? {
        let entry = entry.during("list", NOTES)?;
        let Ok(commit) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        if !repo.has_object(&ObjectName::new(commit, ObjectKind::Commit))? {
            durable::remove_all(repo.dir(), &path(&commit))?;
        }
    }
    Ok(())
}

fn path(commit: &Checksum) -> PathBuf {
    PathBuf::from(format!("{NOTES}/{commit}"))
}
