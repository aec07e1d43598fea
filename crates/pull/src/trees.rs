//! Directories: what is in them, as far as it is wanted.

use ostree_format::{Checksum, DirMeta, DirTree, FormatError, ObjectKind, ObjectName, limits};

use crate::Error;
use crate::http::Line;
use crate::pulling::Pull;
use crate::queue::{Job, TreeJob};
use crate::report::count;

impl Pull<'_> {
    /// Bring a directory and find out what is in it.
    pub(crate) fn tree(&self, line: &Line, job: &TreeJob) -> Result<(), Error> {
        let name = ObjectName::new(job.checksum, ObjectKind::DirTree);
        if job.level >= limits::MAX_DEPTH {
            return Err(Error::TooDeep(job.checksum));
        }
        let tree = self.metadata(line, name, DirTree::from_bytes)?;
        let files = tree.files.iter();
        let files = files.filter(|(file, _)| self.is_wanted(&job.path, file, false));
        let mut jobs: Vec<Job> = files.map(|(_, checksum)| Job::File(*checksum)).collect();
        let dirs = tree.dirs.iter();
        for dir in dirs.filter(|dir| self.is_wanted(&job.path, &dir.name, true)) {
            jobs.push(Job::Meta(dir.meta));
            jobs.push(Job::Tree(TreeJob {
                checksum: dir.contents,
                path: self.path_below(&job.path, &dir.name),
                level: job.level + 1,
            }));
        }
        self.queue.add(jobs);
        Ok(())
    }

    /// Bring a directory's own metadata.
    pub(crate) fn meta(&self, line: &Line, checksum: Checksum) -> Result<(), Error> {
        let name = ObjectName::new(checksum, ObjectKind::DirMeta);
        if self.txn.repo().provides(&name)? {
            return Ok(());
        }
        self.metadata(line, name, DirMeta::from_bytes)?;
        Ok(())
    }

    /// A metadata object, which is stored here afterwards.
    fn metadata<T>(
        &self,
        line: &Line,
        name: ObjectName,
        parse: fn(&[u8]) -> Result<T, FormatError>,
    ) -> Result<T, Error> {
        let parse = |bytes: &[u8]| parse(bytes).map_err(|source| Error::Malformed { name, source });
        if let Some(bytes) = self.txn.repo().load_bytes(&name)? {
            return parse(&bytes);
        }
        let bytes = match self.local_metadata(&name)? {
            Some(bytes) => bytes,
            None => self.fetched_metadata(line, &name, limits::MAX_METADATA_SIZE)?,
        };
        let actual = Checksum::of(&bytes);
        if actual != name.checksum {
            return Err(Error::Corrupted { name, actual });
        }
        // Its form comes before its storing: what a hostile server sends does not even get to the staging.
        let parsed = parse(&bytes)?;
        self.txn.write_metadata(name.kind, &bytes)?;
        Ok(parsed)
    }

    /// The bytes of an object that a repository on this machine has; the remote itself must have it when it
    /// is on this machine.
    pub(crate) fn local_metadata(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, Error> {
        if let Some(source) = self.source {
            let bytes = source.load_bytes(name)?;
            let bytes = bytes.ok_or(ostree::ReadError::Missing(*name))?;
            count(&self.counters.imported_metadata);
            return Ok(Some(bytes));
        }
        for cache in self.options.local_caches {
            if let Some(bytes) = cache.load_bytes(name)? {
                count(&self.counters.imported_metadata);
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    pub(crate) fn fetched_metadata(
        &self,
        line: &Line,
        name: &ObjectName,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let path = format!(
            "objects/{}",
            name.loose_path(ostree_format::RepoMode::Archive)
        );
        let bytes = self
            .fetcher
            .required(line, &self.places.content, &path, limit)?;
        count(&self.counters.fetched_metadata);
        Ok(bytes)
    }

    fn is_wanted(&self, path: &str, name: &str, is_dir: bool) -> bool {
        let paths = &self.options.subpaths;
        paths.is_empty()
            || paths
                .iter()
                .any(|wanted| matches(wanted, &format!("{path}{name}"), is_dir))
    }

    fn path_below(&self, path: &str, name: &str) -> String {
        if self.options.subpaths.is_empty() {
            return String::new();
        }
        format!("{path}{name}/")
    }
}

/// Whether `path` is what is wanted, lies below it, or is a directory on the way to it.
fn matches(wanted: &str, path: &str, is_dir: bool) -> bool {
    if let Some(rest) = wanted.strip_prefix(path) {
        return rest.is_empty() || (is_dir && rest.starts_with('/'));
    }
    path.strip_prefix(wanted)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_whole_names() {
        for (wanted, path, is_dir, expected) in [
            ("/a/b", "/a", true, true),
            ("/a/b", "/a", false, false),
            ("/a/b", "/a/b", false, true),
            ("/a/b", "/a/b/c", false, true),
            ("/a/b", "/a/bc", false, false),
            ("/a/bc", "/a/b", true, false),
            ("/a", "/b", true, false),
        ] {
            assert_eq!(
                matches(wanted, path, is_dir),
                expected,
                "{wanted} {path} {is_dir}"
            );
        }
    }
}
