//! The SELinux policy that a directory carries.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};
use file_contexts::{ConfigError, ParseError, Policy, xattr_value};

use crate::outcome::Failure;
use crate::place::open_dir;

/// Largest policy file that is read.
const MAX_POLICY_FILE: u64 = 64 * 1024 * 1024;

/// Why the policy of a directory cannot be used.
#[derive(Debug, thiserror::Error)]
enum PolicyError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Contexts(#[from] ParseError),
    #[error(transparent)]
    Io(#[from] durable::Error),
}

/// The directory whose policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the SELinux policy of {}: {source}", root.display())]
struct Unusable {
    root: PathBuf,
    source: PolicyError,
}

impl Classified for Unusable {
    fn class(&self) -> ErrorClass {
        match &self.source {
            PolicyError::Config(_) | PolicyError::Contexts(_) => ErrorClass::InvalidInput,
            PolicyError::Io(error) => error.class(),
        }
    }
}

/// The policy of the system whose root is the directory `root`; `None` when it does not label files. As with
/// libostree, `etc/selinux` goes before `usr/etc/selinux`.
pub(super) fn policy_of_directory(root: &Path) -> Result<Option<Policy>, Failure> {
    let dir = open_dir("the root directory with the SELinux policy", root)?;
    let in_etc = root.join("etc/selinux").exists();
    let policy = Policy::of_tree(|path| {
        let path = match path.strip_prefix("usr/") {
            Some(below) if in_etc => below,
            _ => path,
        };
        durable::read_optional(dir.as_fd(), Path::new(path), MAX_POLICY_FILE)
            .map_err(PolicyError::from)
    });
    Ok(policy.map_err(|source| Unusable {
        root: root.to_owned(),
        source,
    })?)
}

/// The label of a path of a tree, as it is stored. From the epoch 1 on `/usr/etc` is labelled as the `/etc`
/// that it becomes.
pub(super) fn label(policy: &Policy, epoch: u8, path: &[u8], mode: u32) -> Option<Vec<u8>> {
    let is_etc = path == b"/usr/etc" || path.starts_with(b"/usr/etc/");
    let path = match path.strip_prefix(b"/usr") {
        Some(below) if epoch >= 1 && is_etc => below,
        _ => path,
    };
    policy.commit_label(path, mode).map(xattr_value)
}

#[cfg(test)]
mod tests {
    use file_contexts::FileContextSources;

    use super::*;

    #[test]
    fn the_epoch_decides_what_usr_etc_is() {
        let file_contexts = b"/etc(/.*)? u:r:etc:s0\n/usr(/.*)? u:r:usr:s0\n";
        let policy = Policy::parse(FileContextSources {
            file_contexts,
            ..FileContextSources::default()
        })
        .unwrap();
        let label = |epoch, path: &str| label(&policy, epoch, path.as_bytes(), 0o100_644);
        let (etc, usr) = (
            Some(b"u:r:etc:s0\0".to_vec()),
            Some(b"u:r:usr:s0\0".to_vec()),
        );
        assert_eq!(label(0, "/usr/etc/passwd"), usr);
        assert_eq!(label(1, "/usr/etc/passwd"), etc);
        assert_eq!(label(1, "/usr/etc"), etc);
        assert_eq!(label(1, "/usr/etcetera"), usr);
        assert_eq!(label(1, "/boot"), None);
    }
}
