//! Choices of a pull. Source: `ostree-pull(1)`.

use ostree::{Depth, Repo};
use ostree_format::Checksum;
use ostree_format::refs::RefName;

/// A ref that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRef {
    /// The ref.
    pub name: RefName,
    /// The commit that it shall be, instead of the one that the remote names.
    pub commit: Option<Checksum>,
}

/// Choices of [`crate::pull`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Options<'a> {
    /// Refs to fetch. When none and no commits are named: those of the remote's configuration
    /// (`branches`), or all, for a mirror.
    pub refs: Vec<WantedRef>,
    /// Commits to fetch without a ref.
    pub commits: Vec<Checksum>,
    /// How many ancestors of each commit come with it.
    pub depth: Depth,
    /// Refs keep their names instead of becoming the remote's.
    pub mirror: bool,
    /// Only commit objects; the commits are marked as partial.
    pub commit_only: bool,
    /// Only what lies at or below these absolute paths; the commits are marked as partial.
    pub subpaths: Vec<String>,
    /// Hash objects that come from a repository on this machine, too.
    pub untrusted: bool,
    /// Store packed objects of a server as they are, without hashing them (only a mirror into an archive).
    pub http_trusted: bool,
    /// Refuse files with a mode that bare-user-only repositories cannot hold.
    pub user_only_files: bool,
    /// Refuse commits that say that they belong to something else.
    pub verify_bindings: bool,
    /// Refuse commits that are older than what their ref names here.
    pub timestamp_check: bool,
    /// Refuse commits that are older than this one.
    pub timestamp_check_from: Option<Checksum>,
    /// Pull from here instead of the remote's address.
    pub url: Option<String>,
    /// Repositories on this machine that may have objects already.
    pub local_caches: &'a [Repo],
    /// Static deltas are not used.
    pub no_deltas: bool,
    /// Only static deltas are used.
    pub require_deltas: bool,
    /// Only find out what static deltas would cost.
    pub dry_run: bool,
    /// Fail when a cached summary does not fit its signatures, instead of fetching another: for tests.
    pub refuse_invalid_cache: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            refs: Vec::new(),
            commits: Vec::new(),
            depth: Depth::Ancestors(0),
            mirror: false,
            commit_only: false,
            subpaths: Vec::new(),
            untrusted: false,
            http_trusted: false,
            user_only_files: false,
            verify_bindings: true,
            timestamp_check: false,
            timestamp_check_from: None,
            url: None,
            local_caches: &[],
            no_deltas: false,
            require_deltas: false,
            dry_run: false,
            refuse_invalid_cache: false,
        }
    }
}
