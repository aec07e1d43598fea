//! Whether an image's root can be written to once it runs.

use ostree::{Repo, Tree};
use ostree_format::keyfile::KeyFile;

use crate::labels::{PolicyError, read};

/// Where `prepare-root.conf` is looked for, the administrator's first (`ostree-prepare-root(1)`).
const PATHS: [&str; 2] = [
    "usr/etc/ostree/prepare-root.conf",
    "usr/lib/ostree/prepare-root.conf",
];

/// Whether the configuration of `root` puts an overlay over the root: composefs, or a transient root.
/// A file that cannot be parsed counts as saying neither.
pub(crate) fn has_writable_root(repo: &Repo, root: &Tree) -> Result<bool, PolicyError> {
    for path in PATHS {
        if let Some(bytes) = read(repo, root, path)? {
            let file = KeyFile::parse(&String::from_utf8_lossy(&bytes)).unwrap_or_default();
            let composefs = file.get("composefs", "enabled");
            let enabled = ["yes", "true", "1", "maybe", "signed", "verity"];
            return Ok(file.get_bool("root", "transient").unwrap_or(false)
                || composefs.is_some_and(|value| enabled.contains(&value.trim())));
        }
    }
    Ok(false)
}
