//! The policy: specifications in, labels out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use crate::config::{Config, ConfigError};
use crate::kind::{FileKind, applies};
use crate::literal;
use crate::pattern::Patterns;
use crate::sources::FileContextSources;
use crate::spec::{self, ParseError, Spec};
use crate::subs::{Substitutions, apply_all};

/// The extended attribute that holds a file's label.
pub const SELINUX_XATTR: &[u8] = b"security.selinux";

/// The value of [`SELINUX_XATTR`] for a label: its bytes and one NUL, as the kernel, libselinux and
/// libostree store it.
#[must_use]
pub fn xattr_value(label: &str) -> Vec<u8> {
    [label.as_bytes(), b"\0"].concat()
}

/// A policy's file contexts, ready for look-ups.
///
/// Look-ups take `&self`, and threads do not wait for each other: each uses a cache of its own (at
/// most 16 MiB; 2.5 MiB on a real policy and 30,000 paths, besides 10 MiB for the policy itself).
pub struct Policy {
    /// Kind and context of every specification; its index is its rank.
    rules: Vec<Rule>,
    /// Ranks of the specifications that are plain text.
    literals: HashMap<Box<[u8]>, Vec<usize>>,
    patterns: Patterns,
    subs: Substitutions,
    subs_dist: Substitutions,
}

struct Rule {
    kind: Option<FileKind>,
    /// `None` is `<<none>>`.
    context: Option<Box<str>>,
}

impl Policy {
    /// Reads and compiles a policy's files.
    ///
    /// # Errors
    /// The first line that is not a specification, a pattern that is not a regular expression, or
    /// patterns beyond the memory limit (64 MiB for all).
    pub fn parse(sources: FileContextSources<'_>) -> Result<Self, ParseError> {
        let specs = sources
            .specifications()
            .flat_map(|(file, bytes)| spec::parse(file, bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let rules = specs.iter().map(Rule::new).collect();
        let mut literals: HashMap<Box<[u8]>, Vec<usize>> = HashMap::new();
        let mut patterns = Vec::new();
        for (rank, spec) in specs.into_iter().enumerate() {
            match literal::text(spec.pattern) {
                Some(text) => literals
                    .entry(text.into_bytes().into())
                    .or_default()
                    .push(rank),
                None => patterns.push((rank, spec)),
            }
        }
        Ok(Self {
            rules,
            literals,
            patterns: Patterns::compile(patterns.into_iter())?,
            subs: Substitutions::parse(sources.subs.unwrap_or_default()),
            subs_dist: Substitutions::parse(sources.subs_dist.unwrap_or_default()),
        })
    }

    /// The policy that a tree says its files are labelled by, if any. `read` reads files of the tree by their
    /// path in a commit ([`Config::PATH`] and those of [`PolicyFiles`](crate::PolicyFiles)).
    ///
    /// # Errors
    /// What `read` said, or a file that is malformed.
    pub fn of_tree<E: From<ConfigError> + From<ParseError>>(
        read: impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Self>, E> {
        let Some(config) = read(Config::PATH)? else {
            return Ok(None);
        };
        let Some(files) = Config::parse(&config)?.policy_files() else {
            return Ok(None);
        };
        let Some(file_contexts) = read(&files.file_contexts)? else {
            return Ok(None);
        };
        let (homedirs, local) = (read(&files.homedirs)?, read(&files.local)?);
        let (subs, subs_dist) = (read(&files.subs)?, read(&files.subs_dist)?);
        let policy = Self::parse(FileContextSources {
            file_contexts: &file_contexts,
            homedirs: homedirs.as_deref(),
            local: local.as_deref(),
            subs: subs.as_deref(),
            subs_dist: subs_dist.as_deref(),
        })?;
        Ok(Some(policy))
    }

    /// The label of the file at `path` (absolute, any bytes) with the type bits of `mode`; a mode of 0
    /// means any type. `None` when the policy says `<<none>>` or says nothing.
    ///
    /// Repeated and trailing slashes do not count; then substitutions apply; then a plain
    /// specification beats every pattern, and otherwise the last match wins.
    #[must_use]
    pub fn label(&self, path: &[u8], mode: u32) -> Option<&str> {
        if path.is_empty() {
            return None;
        }
        let path = apply_all(&self.subs, &self.subs_dist, clean(path));
        let kind = FileKind::from_mode(mode);
        let admits = |rank: usize| {
            self.rules
                .get(rank)
                .is_some_and(|rule| applies(rule.kind, kind))
        };
        let rank = self
            .last_literal(&path, admits)
            .or_else(|| self.patterns.last_match(&path, admits))?;
        self.rules.get(rank)?.context.as_deref()
    }

    /// The label libostree gives a file of a commit: [`label`](Self::label), except that `/proc` is
    /// labelled like `/mnt` (it is a mount point there, never procfs).
    #[must_use]
    pub fn commit_label(&self, path: &[u8], mode: u32) -> Option<&str> {
        self.label(if path == b"/proc" { b"/mnt" } else { path }, mode)
    }

    fn last_literal(&self, path: &[u8], admits: impl Fn(usize) -> bool) -> Option<usize> {
        self.literals
            .get(path)?
            .iter()
            .rev()
            .copied()
            .find(|rank| admits(*rank))
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Policy")
            .field("specifications", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Rule {
    fn new(spec: &Spec<'_>) -> Self {
        Self {
            kind: spec.kind,
            context: spec.context.map(Into::into),
        }
    }
}

/// `path` without repeated and trailing slashes.
fn clean(path: &[u8]) -> Cow<'_, [u8]> {
    let repeated = path.windows(2).any(|pair| pair == b"//");
    let mut path = if repeated {
        Cow::Owned(single_slashes(path))
    } else {
        Cow::Borrowed(path)
    };
    if path.len() > 1 && path.ends_with(b"/") {
        let shorter = path.len().saturating_sub(1);
        match &mut path {
            Cow::Owned(path) => path.truncate(shorter),
            Cow::Borrowed(path) => *path = path.get(..shorter).unwrap_or(path),
        }
    }
    path
}

fn single_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|next, before| *next == b'/' && *before == b'/');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problem, SourceFile};

    const DIRECTORY: u32 = 0o040_755;

    fn policy(file_contexts: &str) -> Result<Policy, ParseError> {
        Policy::parse(FileContextSources {
            file_contexts: file_contexts.as_bytes(),
            ..FileContextSources::default()
        })
    }

    #[test]
    fn proc_of_a_commit_is_a_mount_point() -> Result<(), ParseError> {
        let policy = policy("/proc -d <<none>>\n/mnt -d u:r:mnt_t:s0\n")?;
        assert_eq!(policy.label(b"/proc", DIRECTORY), None);
        assert_eq!(
            policy.commit_label(b"/proc", DIRECTORY),
            Some("u:r:mnt_t:s0")
        );
        assert_eq!(
            policy.commit_label(b"/mnt", DIRECTORY),
            Some("u:r:mnt_t:s0")
        );
        Ok(())
    }

    #[test]
    fn attribute_values_end_in_nul() {
        assert_eq!(xattr_value("u:r:t:s0"), b"u:r:t:s0\0");
    }

    #[test]
    fn a_broken_pattern_names_its_line() {
        let error = policy("/a u:r:t:s0\n/b(.* u:r:t:s0\n").err();
        let error = error.map(|error| (error.file, error.line, error.problem));
        assert!(
            matches!(&error, Some((SourceFile::Base, 2, Problem::Pattern { pattern, .. })) if pattern == "/b(.*"),
            "{error:?}"
        );
    }

    #[test]
    fn hostile_policies_are_refused() {
        let nested = "/((((((a{99}){99}){99}){99}){99}){99}) u:r:t:s0\n";
        assert!(matches!(
            policy(nested),
            Err(ParseError {
                line: 1,
                problem: Problem::TooComplex,
                ..
            })
        ));
        let many = "/(?=a).* u:r:t:s0\n".repeat(300);
        assert!(matches!(
            policy(&many),
            Err(ParseError {
                line: 257,
                problem: Problem::TooComplex,
                ..
            })
        ));
    }

    #[test]
    fn hostile_backtracking_ends() -> Result<(), ParseError> {
        let policy = policy("/.* u:r:t:s0\n/(?=(a+)+$)(a+)+b u:r:x:s0\n")?;
        let path = [b"/".as_slice(), &b"a".repeat(4000)].concat();
        assert_eq!(policy.label(&path, 0), Some("u:r:t:s0"));
        Ok(())
    }
}
