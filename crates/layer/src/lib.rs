//! Layer tar streams to OSTree objects.
//!
//! A layer goes through one streaming pass: its blob is inflated and hashed by one thread, its tar
//! parsed and its files turned into objects by another, with a few buffers in between. What the tar's
//! entries mean is written down in `docs/tar-semantics.md`.

mod archive;
mod chunks;
mod compression;
mod cpio;
mod entries;
mod entry;
mod error;
mod export;
mod file;
mod gzip;
mod links;
mod object_set;
mod paths;
mod pax;
mod pipeline;
mod tap;
mod tree_layer;

pub use archive::{ArchiveOptions, import_archive};
pub use compression::Compression;
pub use entry::{Entry, EntryKind, Special};
pub use error::{EntryProblem, LayerError};
pub use export::{
    Content, DetachedError, ExportError, LayerOptions, ObjectSource, Packed, Packer, Packing,
    Placed, TreeExport, Unpacked, export_tree, object_set, replace_detached, write_chunk,
    write_commit, write_tree,
};
pub use links::DeferredLink;
pub use object_set::{EncapsulatedCommit, ObjectSet, import_commit_objects, import_object_set};
pub use paths::{PathPolicy, REPO_PREFIX};
pub use pipeline::LayerBlob;
pub use tap::{Companion, CompanionLayer, Content as TapContent, Tap, TapError, pass};
pub use tree_layer::{Labeler, TreeLayer, TreeOptions, import_tree};
