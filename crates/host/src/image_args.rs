//! Kernel arguments that images bring along: `usr/lib/bootc/kargs.d/*.toml`, as bootc defines them.
//!
//! Of two images, what the newer adds is added and what it no longer has is deleted. Everything else is the
//! user's: an argument that was deleted locally stays deleted, and one that was changed stays changed.

use std::io::Read as _;

use error_class::{Classified, ErrorClass};
use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use serde::{Deserialize, Serialize};

/// Where images keep them.
pub(crate) const ARGS_DIRECTORY: &str = "usr/lib/bootc/kargs.d";

/// Largest file that is read.
const MAX_FILE: u64 = 1024 * 1024;

/// Kernel arguments of an image cannot be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageArgsError {
    /// A file is not what it has to be.
    #[error("usr/lib/bootc/kargs.d/{file} of the image is damaged: {cause}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        cause: String,
    },
    /// The commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Classified for ImageArgsError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::Read(error) => error.class(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    kargs: Vec<String>,
    match_architectures: Option<Vec<String>>,
}

/// The arguments of the image that a commit is, for a processor as the kernel calls it (`x86_64`), in the
/// order of the files' names.
///
/// # Errors
/// [`ImageArgsError`].
pub fn image_arguments(
    repo: &Repo,
    commit: &Checksum,
    architecture: &str,
) -> Result<Vec<String>, ImageArgsError> {
    let Some((contents, _)) = repo.subtree(commit, ARGS_DIRECTORY)? else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for (name, object) in repo.load_dirtree(&contents)?.files {
        let mut text = String::new();
        let mut limited = repo.open_file(&object)?.content.take(MAX_FILE);
        let read = limited.read_to_string(&mut text);
        read.map_err(|error| ImageArgsError::Damaged {
            file: name.clone(),
            cause: error.to_string(),
        })?;
        files.push((name, text));
    }
    arguments_in(files, architecture)
}

/// The arguments in files with these names and texts.
pub(crate) fn arguments_in(
    files: Vec<(String, String)>,
    architecture: &str,
) -> Result<Vec<String>, ImageArgsError> {
    let mut arguments = Vec::new();
    for (name, text) in files {
        if !name.ends_with(".toml") {
            continue;
        }
        let damaged = |cause: String| ImageArgsError::Damaged {
            file: name.clone(),
            cause,
        };
        let file: File = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let is_meant = |names: &Vec<String>| names.iter().any(|name| name == architecture);
        if file.match_architectures.as_ref().is_none_or(is_meant) {
            arguments.extend(file.kargs);
        }
    }
    Ok(arguments)
}

/// What an update does to the arguments: those that are added, and those that are deleted.
#[must_use]
pub fn argument_changes(old: &[String], new: &[String]) -> (Vec<String>, Vec<String>) {
    let without = |these: &[String], those: &[String]| {
        let others = these.iter().filter(|one| !those.contains(one));
        others.cloned().collect()
    };
    (without(new, old), without(old, new))
}

/// How kernel arguments change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "there are these two changes")]
pub struct ArgumentChanges {
    /// Those that come.
    pub added: Vec<String>,
    /// Those that go.
    pub removed: Vec<String>,
}

impl ArgumentChanges {
    pub(crate) fn between(old: &[String], new: &[String]) -> Self {
        let (added, removed) = argument_changes(old, new);
        Self { added, removed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_count() {
        let list = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (added, deleted) = argument_changes(&list("quiet console=a"), &list("quiet x=1"));
        assert_eq!((added, deleted), (list("x=1"), list("console=a")));
    }

    #[test]
    fn files_say_what_and_for_whom() {
        let file: File = toml::from_str(
            "kargs = [\"console=ttyS0\", \"quiet\"]\nmatch-architectures = [\"x86_64\"]\n",
        )
        .unwrap();
        assert_eq!(file.kargs, ["console=ttyS0", "quiet"]);
        assert!(toml::from_str::<File>("kargs = \"quiet\"\n").is_err());
        assert!(toml::from_str::<File>("karg = []\nkargs = []\n").is_err());
    }
}
