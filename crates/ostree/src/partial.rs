//! Commits that are marked as partial: some of their objects are not here, and that is known.

use std::path::Path;

use ostree_format::Checksum;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use durable::IoContext as _;

use crate::Repo;

/// Why a commit is partial. Source: libostree's `state/<commit>.commitpartial`, which is empty or
/// holds the letter `f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// Some of its objects were never fetched.
    Fetch,
    /// A verification found objects missing or removed damaged ones.
    Damage,
}

impl Repo {
    /// Whether and why the commit is marked as partial.
    ///
    /// # Errors
    /// What the system said.
    pub fn partial(&self, commit: &Checksum) -> Result<Option<Partial>, durable::Error> {
        let mark = durable::read_optional(self.dir(), Path::new(&mark_path(commit)), 64)?;
        Ok(mark.map(|reason| match reason.as_slice() {
            b"f" => Partial::Damage,
            _ => Partial::Fetch,
        }))
    }

    /// Whether the commit is marked as partial for any reason.
    ///
    /// # Errors
    /// What the system said.
    pub fn is_partial(&self, commit: &Checksum) -> Result<bool, durable::Error> {
        Ok(self.partial(commit)?.is_some())
    }

    /// Mark the commit as partial, or as whole; nothing is synced.
    ///
    /// # Errors
    /// What the system said; the old mark is untouched then.
    pub fn set_partial(
        &self,
        commit: &Checksum,
        partial: Option<Partial>,
    ) -> Result<(), durable::Error> {
        let path = mark_path(commit);
        let reason: &[u8] = match partial {
            Some(Partial::Damage) => b"f",
            Some(Partial::Fetch) => b"",
            None => {
                return match rustix::fs::unlinkat(self.dir(), &path, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(error) => Err(error).during("remove", &path),
                };
            }
        };
        durable::create_dir_all(self.dir(), Path::new("state"), 0o777)?;
        durable::publish_no_sync(self.dir(), Path::new(&path), reason, 0o644)
    }
}

fn mark_path(commit: &Checksum) -> String {
    format!("state/{commit}.commitpartial")
}
