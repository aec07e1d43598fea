//! The files of a commit, for whoever stores the layers of the image that it was made of.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

use containers_image::FilesOfImage;
use ostree::Repo;
use ostree_format::Checksum;

/// Where archives have objects of commits by their names.
const OBJECTS: &str = "sysroot/ostree/repo/objects/";
/// Behind the checksum of a file.
const FILE: &str = ".file";

/// The files that a commit has in its repository.
#[derive(Debug)]
pub(crate) struct FilesOfCommit {
    repo: Repo,
    commit: Checksum,
    /// The files of the directory that was asked for last.
    last: Mutex<Option<(String, HashMap<String, Checksum>)>>,
}

impl FilesOfCommit {
    /// None when the repository cannot be reached so that its files can have other names.
    pub(crate) fn new(repo: &Repo, commit: Checksum) -> Option<Self> {
        let dir = durable::reach_bare(repo.dir()).ok()?;
        Some(Self {
            repo: Repo::open(dir).ok()?,
            commit,
            last: Mutex::new(None),
        })
    }

    /// The file of that path; what images have in `/etc` is in `usr/etc` of commits.
    fn at(&self, path: &str) -> Option<Checksum> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = match parent.split('/').next() {
            Some("etc") => format!("usr/{parent}"),
            _ => parent.to_owned(),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((directory, files)) = last.as_ref()
            && *directory == parent
        {
            return files.get(name).copied();
        }
        let (contents, _) = self.repo.subtree(&self.commit, &parent).ok()??;
        let files = self.repo.load_dirtree(&contents).ok()?.files;
        let files: HashMap<_, _> = files.into_iter().collect();
        let found = files.get(name).copied();
        *last = Some((parent, files));
        found
    }
}

impl FilesOfImage for FilesOfCommit {
    fn file_of(&self, path: &[u8], size: u64) -> Option<File> {
        let path = std::str::from_utf8(path).ok()?;
        let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        let path = parts.collect::<Vec<_>>().join("/");
        let checksum = object_in(&path).or_else(|| self.at(&path))?;
        let object = self.repo.open_file(&checksum).ok()?;
        if object.size != size {
            return None;
        }
        let file = object.content.as_plain()?.try_clone_to_owned();
        file.ok().map(File::from)
    }
}

/// The object that an entry of an archive is named after.
fn object_in(path: &str) -> Option<Checksum> {
    let name = path.strip_prefix(OBJECTS)?.strip_suffix(FILE)?;
    let (head, rest) = name.split_once('/')?;
    format!("{head}{rest}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_known_by_their_names() {
        let digits = "ab".repeat(32);
        let path = format!("{OBJECTS}{}/{}.file", &digits[..2], &digits[2..]);
        assert_eq!(object_in(&path), digits.parse().ok());
        assert!(object_in(&path).is_some());
        for other in ["usr/bin/a.file", "sysroot/ostree/repo/objects/ab.file"] {
            assert_eq!(object_in(other), None);
        }
    }
}
