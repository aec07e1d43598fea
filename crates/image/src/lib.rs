//! Container images and OSTree commits.
//!
//! An image is stored as its layers, one commit and ref each, and a merge commit whose tree is what all
//! of them give together. Names, metadata keys and the shape of commits are those of ostree-ext, so
//! that its tools and bootc read what is written here and the other way round.

mod cached_update;
mod check;
mod collect;
mod collection;
mod copy;
mod detached;
mod encapsulate;
mod export;
mod fetch;
mod import;
mod import_error;
mod keys;
mod labels;
mod layout;
mod list;
mod manifest_diff;
mod merge;
mod notes;
mod options;
mod plan;
mod query;
mod refs;
mod relabel;
mod root_config;
mod stored_layer;
mod tree_files;
mod unencapsulate;
mod verdict;
mod write_image;
mod write_merge;

pub use cached_update::{CachedImageUpdate, cached_update, clear_cached_update};
pub use check::{CheckError, ImageCheck, LayerCheck, check_image, repair_image};
pub use collect::{Collected, collect_layers, remove_images};
pub use collection::{CollectionPlan, Fate, Usage};
pub use copy::{CopyError, copy};
pub use detached::{UpdateDetachedError, update_detached_metadata};
pub use encapsulate::{
    Chunking, ContentMap, ContentMapError, DirectoryCommit, EncapsulateDirectoryError,
    EncapsulateError, EncapsulateOptions, Frequencies, FrequenciesError, MAX_LAYERS,
    PackageVersions, PackagesError, encapsulate, encapsulate_directory, package_versions,
};
pub use export::{ExportImageError, ExportToOCIOpts, export};
pub use import::Imported;
pub use import_error::ImportError;
pub use keys::{
    BASE_IMAGE_PREFIX, BOOTABLE_LABEL, BOOTC_LABEL, COMPONENTS_ANNOTATION, CREATED_LABEL,
    FINAL_DIFFID_LABEL, LEGACY_VERSION_LABEL, LINUX_LABEL, META_CONFIG, OSTREE_COMMIT_LABEL,
    VERSION_LABEL,
};
pub use labels::{PolicyError, policy_of_commit, policy_of_directory};
pub use layout::{LayerRole, LayoutError, label_of};
pub use list::list_images;
pub use manifest_diff::{LayerTotal, ManifestDiff};
pub use merge::MergeError;
pub use options::ImportOptions;
pub use plan::{ImportPlan, LayerState, PlanError, Prepared, prepare, prepare_beside};
pub use query::{
    LayeredImageState, QueryError, query_image, query_image_commit, stored_documents, version_of,
};
pub use refs::{RefNameError, ref_for_digest, ref_for_image};
pub use unencapsulate::{UnencapsulateError, Unencapsulated, unencapsulate};
pub use verdict::{record_verdict, recorded_verdict};
pub use write_image::{Compression, WriteImageError, WrittenImage, WrittenLayer};
