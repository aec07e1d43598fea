//! Where an entry of a layer goes in the tree.
//!
//! The rules are those of the existing importer (ostree-ext), so that trees come out the same: `/etc` is
//! kept at `/usr/etc`, nothing below the API file systems is kept, and what lies outside of `/usr`,
//! `/etc` and `/var` only if the root can be written to.

use ostree_format::limits;
use tree::Name;

use crate::error::EntryProblem;

/// Where an OSTree repository lies inside of an encapsulated image.
pub const REPO_PREFIX: &str = "sysroot/ostree/repo";

/// File systems of the kernel and of the running system: kept as directories, but empty.
const API_FILE_SYSTEMS: [&[u8]; 5] = [b"run", b"tmp", b"proc", b"sys", b"dev"];

/// Choices about what is kept where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathPolicy {
    /// Keep what lies outside of `/usr`, `/etc` and `/var`.
    pub allow_nonusr: bool,
    /// Keep `/var` where it is; otherwise it goes to `/usr/share/factory/var`, as before libostree 2024.3.
    pub retain_var: bool,
}

impl Default for PathPolicy {
    fn default() -> Self {
        Self {
            allow_nonusr: true,
            retain_var: true,
        }
    }
}

/// Where an entry goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the tree; without components it is the root.
    Tree(Vec<Name>),
    /// Into the repository inside of an encapsulated image; the path below it.
    Repo(Vec<u8>),
    /// Nowhere; the top-level directory on whose account.
    Nowhere(String),
}

impl PathPolicy {
    /// Where the entry with this path goes.
    pub(crate) fn place(self, path: &[u8]) -> Result<Place, EntryProblem> {
        if path.is_empty() {
            return Err(EntryProblem::NoName);
        }
        let mut names = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(EntryProblem::ParentReference),
                part => names.push(name(part)?),
            }
        }
        if names.len() > limits::MAX_DEPTH {
            return Err(EntryProblem::TooDeep);
        }
        if let Some(inside) = below_repo(&names) {
            return Ok(Place::Repo(inside));
        }
        let Some(top) = names.first() else {
            return Ok(Place::Tree(names));
        };
        let move_to: &[&[u8]] = match top.as_bytes() {
            b"usr" => &[],
            b"etc" | b".wh.etc" => &[b"usr"],
            b"var" if self.retain_var => &[],
            b"var" | b".wh.var" if !self.retain_var => &[b"usr", b"share", b"factory"],
            api if API_FILE_SYSTEMS.contains(&api) => match names.len() {
                1 => &[],
                _ => return Ok(Place::Nowhere(top.to_string())),
            },
            _ if self.allow_nonusr => &[],
            _ => return Ok(Place::Nowhere(top.to_string())),
        };
        for prefix in move_to.iter().rev() {
            names.insert(0, name(prefix)?);
        }
        Ok(Place::Tree(names))
    }
}

fn name(part: &[u8]) -> Result<Name, EntryProblem> {
    if part.len() > limits::MAX_NAME {
        return Err(EntryProblem::NameTooLong);
    }
    if std::str::from_utf8(part).is_err() {
        return Err(EntryProblem::NameNotUtf8);
    }
    if matches!(part, b".wh." | b".wh.." | b".wh...") {
        return Err(EntryProblem::BadWhiteout);
    }
    // What is left are NUL bytes, which no path out of a tar header has; PAX paths may.
    Name::new(part).map_err(|_| EntryProblem::NameNotUtf8)
}

/// The path below the repository, for an entry inside of it.
fn below_repo(names: &[Name]) -> Option<Vec<u8>> {
    let mut names = names.iter().map(Name::as_bytes);
    let mut prefix = REPO_PREFIX.split('/').map(str::as_bytes);
    if !prefix.all(|part| names.next() == Some(part)) {
        return None;
    }
    Some(names.collect::<Vec<_>>().join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(policy: PathPolicy, path: &str) -> Result<String, EntryProblem> {
        Ok(match policy.place(path.as_bytes())? {
            Place::Tree(names) => names.iter().map(|n| format!("/{n}")).collect(),
            Place::Repo(path) => format!("repo {}", String::from_utf8(path).unwrap()),
            Place::Nowhere(top) => format!("nowhere {top}"),
        })
    }

    #[test]
    fn places() {
        let all = PathPolicy::default();
        let strict = PathPolicy {
            allow_nonusr: false,
            retain_var: false,
        };
        for (path, default, other) in [
            ("./", "", ""),
            ("usr///share/.//x", "/usr/share/x", "/usr/share/x"),
            ("/etc/ssl", "/usr/etc/ssl", "/usr/etc/ssl"),
            ("etcc/x", "/etcc/x", "nowhere etcc"),
            ("dev", "/dev", "/dev"),
            ("dev/null", "nowhere dev", "nowhere dev"),
            ("var/lib/x", "/var/lib/x", "/usr/share/factory/var/lib/x"),
            (
                "sysroot/ostree/repo/objects/aa/b.file",
                "repo objects/aa/b.file",
                "repo objects/aa/b.file",
            ),
            ("sysroot", "/sysroot", "nowhere sysroot"),
        ] {
            assert_eq!(place(all, path).unwrap(), default, "{path}");
            assert_eq!(place(strict, path).unwrap(), other, "{path}");
        }
    }

    #[test]
    fn refuses() {
        let all = PathPolicy::default();
        assert_eq!(
            place(all, "usr/../../etc"),
            Err(EntryProblem::ParentReference)
        );
        assert_eq!(place(all, &"x".repeat(256)), Err(EntryProblem::NameTooLong));
        assert_eq!(place(all, &"x/".repeat(257)), Err(EntryProblem::TooDeep));
        assert_eq!(all.place(b"usr/\xff"), Err(EntryProblem::NameNotUtf8));
    }
}
