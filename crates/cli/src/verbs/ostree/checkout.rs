//! `bootroot ostree checkout`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use error_class::{Classified, ErrorClass};
use file_contexts::xattr_value;
use ostree::{CheckoutOptions, Existing, Relabel, Repo, VerityDigests};
use rustix::fs::CWD;

use super::commit::lists;
use super::selinux;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Write the files of a commit to a directory
#[derive(Debug, Args)]
pub(crate) struct Checkout {
    /// Files belong to whoever runs this, without extended attributes
    #[arg(short = 'U', long)]
    user_mode: bool,
    /// Neither use nor fill the cache of unpacked files of archive repositories
    #[arg(long)]
    disable_cache: bool,
    /// Checkout sub-directory PATH
    #[arg(long, value_name = "PATH")]
    subpath: Option<String>,
    /// Write into directories that are there, and replace files
    #[arg(long, group = "existing")]
    union: bool,
    /// Keep existing files and directories, only add new ones
    #[arg(long, group = "existing")]
    union_add: bool,
    /// Keep what is the same, fail when a file would be replaced with a different version
    #[arg(long, group = "existing")]
    union_identical: bool,
    /// Process whiteout entries (`.wh.NAME`)
    #[arg(long)]
    whiteouts: bool,
    /// Turn `.ostree-wh.NAME` into overlayfs whiteouts
    #[arg(long)]
    process_passthrough_whiteouts: bool,
    /// Do nothing if the specified path does not exist
    #[arg(long)]
    allow_noent: bool,
    /// Drop bits of directories that bare-user-only repositories cannot hold
    #[arg(short = 'M', long)]
    bareuseronly_dirs: bool,
    /// File with paths to leave out
    #[arg(long, value_name = "FILE")]
    skip_list: Option<PathBuf>,
    /// Process many checkouts from standard input: a commit and a subpath, each ending with NUL
    #[arg(long, conflicts_with = "from_file")]
    from_stdin: bool,
    /// Process many checkouts from a file of the same form
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Accepted for compatibility: empty files are never linked
    #[arg(short = 'z', long)]
    force_copy_zerosized: bool,
    /// Accepted for compatibility: a checkout is never synced
    #[arg(long, value_name = "POLICY")]
    fsync: Option<String>,
    /// Do not fall back to full copies if hard links are not possible
    #[arg(short = 'H', long)]
    require_hardlinks: bool,
    /// Write an image for composefs instead of a directory; every file in it has a digest
    #[arg(long, group = "image")]
    composefs: bool,
    /// The same without digests
    #[arg(long, group = "image")]
    composefs_noverity: bool,
    /// Never make hard links
    #[arg(short = 'C', long, conflicts_with = "require_hardlinks")]
    force_copy: bool,
    /// Label files by the SELinux policy of the system below this directory; implies --force-copy
    #[arg(long, value_name = "PATH", conflicts_with = "require_hardlinks")]
    selinux_policy: Option<PathBuf>,
    /// Label files as if the checkout stood at this path [default: that of --subpath]
    #[arg(long, value_name = "PATH", requires = "selinux_policy")]
    selinux_prefix: Option<String>,
    /// The commit; with --from-stdin or --from-file, the directory
    commit: Option<String>,
    /// The directory to make [default: the name of the commit]
    destination: Option<PathBuf>,
}

/// Why nothing was checked out.
#[derive(Debug, thiserror::Error)]
enum CheckoutArgument {
    // Only links show that files are the same.
    #[error("--union-identical requires --require-hardlinks")]
    NeedsHardlinks,
    #[error("COMMIT must be specified")]
    NoCommit,
    // An image is always of the whole commit as it is.
    #[error("Specified options are incompatible with --composefs")]
    NotForImage,
    #[error("cannot read {}", path.display())]
    List {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Classified for CheckoutArgument {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NeedsHardlinks | Self::NoCommit | Self::NotForImage => ErrorClass::InvalidInput,
            Self::List { source, .. } => source.class(),
        }
    }
}

impl Checkout {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.union_identical && !self.require_hardlinks {
            return Err(CheckoutArgument::NeedsHardlinks.into());
        }
        let repo = context.place().open_repository()?;
        if self.composefs || self.composefs_noverity {
            return self.image(context, &repo);
        }
        let skip = self.skip_list.as_deref().map(read).transpose()?;
        let skip = skip.map(|text| lists::paths(&String::from_utf8_lossy(&text)));
        let mut options = self.options(skip.as_ref());
        let policy = self.selinux_policy.as_deref();
        let policy = policy.map(selinux::policy_of_directory).transpose()?;
        let policy = policy.flatten();
        let label = policy
            .as_ref()
            .map(|policy| |path: &[u8], mode| policy.commit_label(path, mode).map(xattr_value));
        options.relabel = label.as_ref().map(|label| Relabel {
            prefix: self.prefix(),
            label,
        });
        let first = self.commit.as_deref().ok_or(CheckoutArgument::NoCommit)?;
        let Some(list) = self.list()? else {
            let destination = self.destination.as_deref().unwrap_or(Path::new(first));
            let subpath = self.subpath.as_deref();
            self.one(context, &repo, (first, subpath), destination, options)?;
            return Ok(Exit::Done);
        };
        let mut words = list.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        while let (Some(rev), Some(subpath)) = (words.next(), words.next()) {
            let what = (&*rev, Some(&*subpath));
            self.one(context, &repo, what, Path::new(first), options)?;
        }
        Ok(Exit::Done)
    }

    /// The path that the root of the checkout is labelled as.
    fn prefix(&self) -> &str {
        let prefix = self.selinux_prefix.as_deref().or(self.subpath.as_deref());
        prefix.unwrap_or("/")
    }

    /// Writes the image of the commit.
    fn image(&self, context: &Context, repo: &Repo) -> Result<Exit, Failure> {
        let changed = self.disable_cache
            || self.whiteouts
            || self.process_passthrough_whiteouts
            || self.require_hardlinks
            || self.force_copy
            || self.force_copy_zerosized
            || self.bareuseronly_dirs
            || self.existing() != Existing::Refuse
            || self.skip_list.is_some()
            || self.selinux_policy.is_some()
            || self.selinux_prefix.is_some()
            || self.subpath.is_some()
            || self.from_stdin
            || self.from_file.is_some();
        if changed {
            return Err(CheckoutArgument::NotForImage.into());
        }
        let rev = self.commit.as_deref().ok_or(CheckoutArgument::NoCommit)?;
        let destination = self.destination.as_deref().unwrap_or(Path::new(rev));
        let digests = match self.composefs_noverity {
            true => VerityDigests::None,
            false => VerityDigests::All,
        };
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let commit = repo.resolve(rev)?;
        repo.checkout_composefs(&commit, (CWD, destination), digests, progress, interrupt)?;
        Ok(Exit::Done)
    }

    /// Pairs of commits and subpaths, when there are many.
    fn list(&self) -> Result<Option<Vec<u8>>, CheckoutArgument> {
        if self.from_stdin {
            return read(Path::new("/dev/stdin")).map(Some);
        }
        self.from_file.as_deref().map(read).transpose()
    }

    fn one(
        &self,
        context: &Context,
        repo: &Repo,
        (rev, subpath): (&str, Option<&str>),
        destination: &Path,
        options: CheckoutOptions<'_>,
    ) -> Result<(), Failure> {
        let commit = repo.resolve(rev)?;
        let path = subpath.unwrap_or_default();
        if self.allow_noent
            && repo.subtree(&commit, path)?.is_none()
            && repo.file_in_tree(&commit, path)?.is_none()
        {
            return Ok(());
        }
        let options = CheckoutOptions { subpath, ..options };
        let (progress, interrupt) = (context.progress(), context.interrupt());
        repo.checkout(&commit, CWD, destination, &options, progress, interrupt)?;
        Ok(())
    }

    fn options<'a>(&self, skip: Option<&'a BTreeSet<PathBuf>>) -> CheckoutOptions<'a> {
        CheckoutOptions {
            force_copy: self.force_copy || self.selinux_policy.is_some(),
            user_mode: self.user_mode,
            existing: self.existing(),
            whiteouts: self.whiteouts,
            require_hardlinks: self.require_hardlinks,
            passthrough_whiteouts: self.process_passthrough_whiteouts,
            skip,
            cache: !self.disable_cache,
            user_only_dirs: self.bareuseronly_dirs,
            ..CheckoutOptions::default()
        }
    }

    fn existing(&self) -> Existing {
        match (self.union, self.union_add, self.union_identical) {
            (true, ..) => Existing::Union,
            (_, true, _) => Existing::Add,
            (.., true) => Existing::Identical,
            _ => Existing::Refuse,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CheckoutArgument> {
    std::fs::read(path).map_err(|source| CheckoutArgument::List {
        path: path.to_owned(),
        source,
    })
}
