//! The OSTree repository on disk: objects, refs, transactions, locks.
//!
//! Reads and writes what libostree reads and writes, and shares its locks, so both can work on one
//! repository at the same time. Knows nothing of images, boot or deployments.
//!
//! Source of the layout: libostree's documentation ("Anatomy of an OSTree repository",
//! `ostree.repo-config(5)`) and the behaviour of the `ostree` command, which the tests compare with.

mod bindings;
mod boot_id;
mod checkout;
mod checksum_path;
mod collection_refs;
mod commit_dir;
mod composefs;
mod config;
mod content;
mod content_writer;
mod delta;
mod diff;
mod fsck;
mod heads;
mod metadata;
mod partial;
mod prune;
mod publish;
mod pull;
mod ref_edit;
mod refs;
mod remotes;
mod repo;
mod sizes;
mod space;
mod split_xattrs;
mod staging;
mod summary;
mod transaction;
mod trees;
mod verity;
mod write_adopted;
mod write_content;
mod write_metadata;
mod write_packed;

pub use bindings::{BindingError, bound_collection, bound_refs, verify_bindings};
pub use boot_id::{BootId, InvalidBootId};
pub use checkout::{CheckoutError, CheckoutOptions, CheckoutStats, Existing, LabelFn, Relabel};
pub use checksum_path::checksum_path;
pub use collection_refs::CollectionRef;
pub use commit_dir::{
    CommitDirError, CommitDirOptions, CommittedDir, DevInoCache, DirectoryObjects, DirectoryScan,
    LabelledPath, Unmatched,
};
pub use composefs::{COMPOSEFS_DIGEST_KEY, ComposefsError, VerityDigests, file_attributes};
pub use config::{ConfigError, RepoConfig, Wanted};
pub use content::{ContentReader, FileObject};
pub use content_writer::{ContentWriter, NamedWriter};
pub use delta::{DeltaApplyError, DeltaMakeError, DeltaOptions, DeltaStats, NewDelta};
pub use diff::{TreeDiff, diff_trees};
pub use fsck::{Damage, FsckOptions, FsckReport, ReferenceError, Repaired};
pub use metadata::ReadError;
pub use partial::Partial;
pub use prune::{Depth, PruneError, PruneOptions, PrunePlan, PruneStats};
pub use pull::{Importer, PullError, PullLocalOptions, PullStats};
pub use ref_edit::RefEdit;
pub use refs::{RefError, Rev};
pub use remotes::{IfPresent, Remote, RemoteError};
pub use repo::{OpenError, Repo};
pub use static_delta::DeltaName;
pub use summary::{Summary, SummaryBytes, SummaryError, SummaryRef};
pub use transaction::{Expect, Stats, Transaction, TransactionOptions, WriteError};
pub use trees::{Tree, TreeConflict, merge_trees};
pub use verity::VerityError;
pub use write_packed::PackedWriter;
