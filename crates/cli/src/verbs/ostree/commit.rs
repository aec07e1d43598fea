//! `bootroot ostree commit`

mod glib_order;
pub(super) mod lists;
mod message;
pub(super) mod metadata;
mod source;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use error_class::{Classified, ErrorClass};
use file_contexts::Policy;
use ostree::{
    CommitDirOptions, DevInoCache, Expect, LabelledPath, Repo, Stats, Transaction,
    TransactionOptions, Tree, WriteError,
};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Commit as Object, Metadata};
use rustix::fs::CWD;

use self::message::Message;
use self::source::{Gathered, Source, Tar};
use super::signatures::SignOptions;
use super::{durability, selinux, summary, when};
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Store trees as a new commit
#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// Parent commit checksum, or "none"
    #[arg(long, value_name = "COMMIT")]
    parent: Option<String>,
    /// One line subject
    #[arg(short, long)]
    subject: Option<String>,
    /// Full description
    #[arg(short = 'm', long)]
    body: Option<String>,
    /// Full description, from a file
    #[arg(short = 'F', long, value_name = "FILE", conflicts_with = "body")]
    body_file: Option<PathBuf>,
    /// Write the message in an editor, which begins with what the other options say
    #[arg(short, long)]
    editor: bool,
    /// Branch
    #[arg(short, long)]
    branch: Option<Refspec>,
    /// Let no ref name the commit
    #[arg(long)]
    orphan: bool,
    #[command(flatten)]
    about: metadata::About,
    /// Start from the tree of this commit, to which no other option applies
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Overlay a directory (`dir=PATH`), an archive (`tar=FILE`) or a commit (`ref=REV`) as a tree
    #[arg(long, value_name = "KIND=SOURCE")]
    tree: Vec<Source>,
    #[command(flatten)]
    tar: Tar,
    /// All files belong to the user with this number
    #[arg(long, value_name = "UID")]
    owner_uid: Option<u32>,
    /// All files belong to the group with this number
    #[arg(long, value_name = "GID")]
    owner_gid: Option<u32>,
    /// Root owns everything, without attributes and special mode bits
    #[arg(long)]
    canonical_permissions: bool,
    /// Take write permission from executable files
    #[arg(long)]
    mode_ro_executables: bool,
    /// Leave extended attributes out
    #[arg(long)]
    no_xattrs: bool,
    /// Label files by the SELinux policy of the system below this directory
    #[arg(long, value_name = "PATH")]
    selinux_policy: Option<PathBuf>,
    /// Label files by the SELinux policy of --base, or of the first --tree
    #[arg(short = 'P', long, conflicts_with = "selinux_policy")]
    selinux_policy_from_base: bool,
    /// How /usr/etc is labelled: 0 as it is called, 1 as /etc
    #[arg(
        long,
        value_name = "EPOCH",
        default_value_t = 0,
        value_parser = clap::value_parser!(u8).range(0..=1)
    )]
    selinux_labeling_epoch: u8,
    /// Optimize for trees composed of hard links into the repository
    #[arg(long)]
    link_checkout_speedup: bool,
    /// Assume hard links into the repository are unmodified
    #[arg(short = 'I', long)]
    devino_canonical: bool,
    /// If the contents are unchanged from the previous commit, do nothing
    #[arg(long)]
    skip_if_unchanged: bool,
    /// File with modes: lines `MODE PATH` add bits, `=MODE PATH` replace them
    #[arg(long, value_name = "FILE")]
    statoverride: Option<PathBuf>,
    /// File with paths to leave out
    #[arg(long, value_name = "FILE")]
    skip_list: Option<PathBuf>,
    /// Delete the directories after the commit
    #[arg(long)]
    consume: bool,
    /// Tell counts and sizes as well, as KEY: VALUE lines
    #[arg(long)]
    table_output: bool,
    /// Note in the commit what its objects cost to fetch; only in archive repositories
    #[arg(long)]
    generate_sizes: bool,
    /// Whether to sync what is written: true or false
    #[arg(long, value_name = "POLICY", value_parser = durability::parse)]
    fsync: Option<bool>,
    #[command(flatten)]
    sign: SignOptions,
    /// Secret key to sign with, from a file
    #[arg(long, value_name = "FILE")]
    sign_from_file: Vec<PathBuf>,
    /// The time of the commit, instead of now
    #[arg(long, value_name = "TIMESTAMP")]
    timestamp: Option<String>,
    /// The directory, when there is no --tree [default: .]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error("A branch must be specified with --branch, or use --orphan")]
    NoBranch,
    #[error("Invalid rev {0}")]
    Parent(String),
    #[error("Invalid tree type specification '{0}'")]
    TreeType(String),
    #[error("Cannot use --selinux-policy-from-base with tar")]
    PolicyOfTar,
    #[error("OSTREE_REPO_TEST_ERROR_PRE_COMMIT specified")]
    Interrupted,
    #[error("cannot read {}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot delete {}", path.display())]
    Consume {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Classified for CommitError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Interrupted => ErrorClass::Interrupted,
            Self::NoBranch | Self::Parent(_) | Self::TreeType(_) | Self::PolicyOfTar => {
                ErrorClass::InvalidInput
            }
            Self::File { source, .. } | Self::Consume { source, .. } => source.class(),
        }
    }
}

/// What became of it.
struct Committed {
    commit: Checksum,
    stats: Stats,
    cache_hits: u64,
}

impl Commit {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.branch.is_none() && !self.orphan {
            return Err(CommitError::NoBranch.into());
        }
        let repo = context.place().open_repository()?;
        let message = self.message()?;
        let committed = loop {
            if let Some(committed) = self.commit(context, &repo, &message)? {
                break committed;
            }
        };
        if self.consume {
            self.consume_sources()?;
        }
        summary::follow_commit(&repo)?;
        self.print(context, &committed)?;
        Ok(Exit::Done)
    }

    /// Commits once. `None` when somebody else has moved the branch meanwhile: that commit becomes the
    /// parent, so that neither is lost.
    fn commit(
        &self,
        context: &Context,
        repo: &Repo,
        message: &Message,
    ) -> Result<Option<Committed>, Failure> {
        let (parent, expect) = self.parent(repo)?;
        let transaction = repo.begin(self.transaction())?;
        let (tree, cache_hits) = self.tree(context, &transaction)?;
        let contents = transaction.write_tree(&tree)?;
        let unchanged = self.unchanged(repo, parent, (contents, tree.meta))?;
        if let Some(commit) = unchanged {
            let stats = Stats::default();
            return Ok(Some(Committed {
                commit,
                stats,
                cache_hits,
            }));
        }
        let mut object = self.object(repo, parent, contents, &tree)?;
        (object.subject, object.body) = message.clone();
        let written = (&transaction, &tree);
        self.about
            .add_digest(context, written, &mut object.metadata)?;
        if self.generate_sizes {
            let sizes = transaction.object_sizes(&contents, &tree)?;
            object.metadata.insert("ostree.sizes", sizes);
        }
        let commit = transaction.write_commit(&object)?;
        let mut detached = self.about.detached()?;
        self.sign(context, repo, (commit, &object), &mut detached)?;
        if !detached.is_empty() {
            transaction.write_detached_metadata(commit, &detached)?;
        }
        if let Some(branch) = self.branch.as_ref().filter(|_| !self.orphan) {
            transaction.set_ref(branch.clone(), expect, Some(commit));
        }
        if let Some(boot) = environment::interrupted_commit() {
            transaction.leave_staged(&boot)?;
            return Err(CommitError::Interrupted.into());
        }
        match transaction.commit(context.progress(), context.interrupt()) {
            Err(WriteError::RefChanged { .. }) if self.parent.is_none() => Ok(None),
            stats => Ok(Some(Committed {
                commit,
                stats: stats?,
                cache_hits,
            })),
        }
    }

    fn transaction(&self) -> TransactionOptions {
        let options = TransactionOptions::default().syncing(self.fsync.unwrap_or(true));
        if environment::writes_split_xattrs() {
            options.writing_split_xattrs()
        } else {
            options
        }
    }

    fn object(
        &self,
        repo: &Repo,
        parent: Option<Checksum>,
        contents: Checksum,
        tree: &Tree,
    ) -> Result<Object, Failure> {
        Ok(Object {
            metadata: self
                .about
                .metadata(repo, self.branch.as_ref(), parent, tree)?,
            parent,
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: self.timestamp()?,
            contents,
            meta: tree.meta,
        })
    }

    /// Signs the commit into its detached metadata, which come with it: no ref ever names it without its
    /// signatures.
    fn sign(
        &self,
        context: &Context,
        repo: &Repo,
        (id, commit): (Checksum, &Object),
        detached: &mut Metadata,
    ) -> Result<(), Failure> {
        let stores = context.place().key_stores()?;
        let signing = self.sign.signing(&self.sign_from_file, &stores)?;
        if signing.is_empty() {
            return Ok(());
        }
        // The same commit may be there already, with signatures of others.
        if let Some(there) = repo
            .load_detached_metadata(&id)?
            .filter(|_| detached.is_empty())
        {
            *detached = there;
        }
        Ok(signing.sign(&commit.to_bytes(), detached, environment::now())?)
    }

    /// The parent, and what the branch must still be when it moves.
    fn parent(&self, repo: &Repo) -> Result<(Option<Checksum>, Expect), Failure> {
        let current = match &self.branch {
            Some(branch) => repo.read_ref(branch)?,
            None => None,
        };
        match self.parent.as_deref() {
            Some("none") => Ok((None, Expect::Any)),
            Some(rev) => {
                let parent = rev
                    .parse()
                    .map_err(|_| CommitError::Parent(rev.to_owned()))?;
                Ok((Some(parent), Expect::Any))
            }
            None if self.orphan => Ok((None, Expect::Any)),
            None => Ok((current, current.map_or(Expect::Absent, Expect::Exactly))),
        }
    }

    /// The parent, when nothing changed since and that is reason enough to do nothing.
    fn unchanged(
        &self,
        repo: &Repo,
        parent: Option<Checksum>,
        (contents, meta): (Checksum, Checksum),
    ) -> Result<Option<Checksum>, Failure> {
        let Some(id) = parent.filter(|_| self.skip_if_unchanged) else {
            return Ok(None);
        };
        let parent = repo.load_commit(&id)?;
        Ok((parent.contents == contents && parent.meta == meta).then_some(id))
    }

    fn sources(&self) -> Vec<Source> {
        if self.tree.is_empty() {
            vec![Source::Dir(self.path.clone().unwrap_or_else(|| ".".into()))]
        } else {
            self.tree.clone()
        }
    }

    /// All sources, one over the other, and how many files needed no reading.
    fn tree(&self, context: &Context, to: &Transaction<'_>) -> Result<(Tree, u64), Failure> {
        let speedup = self.link_checkout_speedup || self.devino_canonical;
        let cache = speedup.then(|| DevInoCache::of(to.repo())).transpose()?;
        let policy = self.policy(to.repo())?;
        let label = policy.as_ref().map(|policy| {
            let epoch = self.selinux_labeling_epoch;
            move |path: &Path, mode| {
                selinux::label(policy, epoch, path.as_os_str().as_bytes(), mode)
            }
        });
        let mut options = self.options(cache.as_ref())?;
        options.label = label.as_ref().map(|label| label as &LabelledPath<'_>);
        let mut gathered = Gathered::default();
        if let Some(rev) = &self.base {
            gathered.base(to, rev)?;
        }
        for source in self.sources() {
            gathered.add(context, to, (&source, &self.tar), &options)?;
        }
        Ok((gathered.tree.expect("there is a source"), gathered.hits))
    }

    fn options<'a>(
        &self,
        devino: Option<&'a DevInoCache>,
    ) -> Result<CommitDirOptions<'a>, Failure> {
        let modes = match &self.statoverride {
            Some(path) => lists::modes(&read(path)?, path)?,
            None => lists::Modes::default(),
        };
        Ok(CommitDirOptions {
            uid: self.owner_uid,
            gid: self.owner_gid,
            canonical_permissions: self.canonical_permissions,
            skip_xattrs: self.no_xattrs,
            ro_executables: self.mode_ro_executables,
            mode_add: modes.add,
            mode_set: modes.set,
            skip: match &self.skip_list {
                Some(path) => lists::paths(&read(path)?),
                None => BTreeSet::new(),
            },
            devino,
            devino_canonical: self.devino_canonical,
            consume: self.consume,
            ..CommitDirOptions::default()
        })
    }

    /// The policy that files are labelled by, if they are.
    fn policy(&self, repo: &Repo) -> Result<Option<Policy>, Failure> {
        if let Some(root) = &self.selinux_policy {
            return selinux::policy_of_directory(root);
        }
        if !self.selinux_policy_from_base {
            return Ok(None);
        }
        let of_commit = |rev: &str| {
            let commit = repo.resolve(rev)?;
            Ok(image::policy_of_commit(repo, &commit)?)
        };
        match (&self.base, self.sources().first()) {
            (Some(rev), _) => of_commit(rev),
            (None, Some(Source::Commit(rev))) => of_commit(rev),
            (None, Some(Source::Dir(path))) => selinux::policy_of_directory(path),
            (None, Some(Source::Tar(_)) | None) => Err(CommitError::PolicyOfTar.into()),
        }
    }

    /// Subject and body.
    fn message(&self) -> Result<Message, Failure> {
        let message = (self.subject.clone().unwrap_or_default(), self.body()?);
        if !self.editor {
            return Ok(message);
        }
        let branch = self.branch.as_ref().map(ToString::to_string);
        Ok(message::ask(branch.as_deref(), &message)?)
    }

    fn body(&self) -> Result<String, CommitError> {
        match (&self.body, &self.body_file) {
            (Some(body), _) => Ok(body.clone()),
            (None, Some(path)) => read(path),
            (None, None) => Ok(String::new()),
        }
    }

    fn timestamp(&self) -> Result<u64, Failure> {
        let now: chrono::DateTime<chrono::Utc> = std::time::SystemTime::now().into();
        match (&self.timestamp, environment::source_date_epoch()?) {
            (Some(text), _) => Ok(when::parse(text, now)?),
            (None, Some(epoch)) => Ok(epoch),
            (None, None) => Ok(u64::try_from(now.timestamp()).unwrap_or_default()),
        }
    }

    fn consume_sources(&self) -> Result<(), CommitError> {
        for source in self.sources() {
            let Source::Dir(path) = source else {
                continue;
            };
            durable::remove_all(CWD, &path).map_err(|error| CommitError::Consume {
                path,
                source: error.source,
            })?;
        }
        Ok(())
    }

    fn print(&self, context: &Context, done: &Committed) -> Result<(), Failure> {
        let mut out = context.results();
        if !self.table_output {
            writeln!(out, "{}", done.commit)?;
            return Ok(out.finish()?);
        }
        let stats = &done.stats;
        writeln!(out, "Commit: {}", done.commit)?;
        let rows = [
            ("Metadata Total", stats.metadata_total),
            ("Metadata Written", stats.metadata_written),
            ("Content Total", stats.content_total),
            ("Content Written", stats.content_written),
            ("Content Cache Hits", done.cache_hits),
            ("Content Bytes Written", stats.content_bytes),
        ];
        for (name, number) in rows {
            writeln!(out, "{name}: {number}")?;
        }
        Ok(out.finish()?)
    }
}

fn read(path: &Path) -> Result<String, CommitError> {
    std::fs::read_to_string(path).map_err(|source| CommitError::File {
        path: path.to_owned(),
        source,
    })
}
