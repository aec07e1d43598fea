//! The facade over a host's storage: one file is one use case.
//!
//! Everything here is glue over the engines: it takes [`Storage`], names and choices, and gives values
//! that serialise to the JSON documents whose schemas are in `docs/`. Nothing prints, and nothing
//! reads the environment.

mod access;
mod auth_check;
mod backend;
mod bound_error;
mod bound_images;
mod bound_repair;
mod bound_root;
mod bound_store;
mod change;
mod cleanup;
mod composefs_backend;
mod composefs_fetch;
mod composefs_prune;
mod composefs_pull;
mod composefs_store;
mod container;
mod deploy;
mod deploy_revision;
mod derived;
mod edit;
mod environment;
mod files_of_commit;
mod fsck;
mod fstab;
mod host_document;
mod image_args;
mod image_check;
mod image_compare;
mod image_copy;
mod image_explain;
mod image_history;
mod image_list;
mod image_metadata;
mod image_prune;
mod image_remove;
mod image_to_storage;
mod kernel_arguments;
mod layer_count;
mod layer_sum;
mod local_layers;
mod packages;
mod pin;
mod pull;
mod reboot_required;
mod remote_signature;
mod reset;
mod retag;
mod rollback;
mod root_bound;
mod root_changes;
mod root_plan;
mod root_reset;
mod root_stateroot;
mod root_status;
mod selector;
mod selinux_policy;
mod setup_deployment;
mod soft_reboot;
mod space;
mod stateroot_remove;
mod status;
mod storage;
mod storage_compose;
mod storage_use;
mod stored;
mod switch_in_place;
mod text;
mod undeploy;
mod unified;
mod upgrade;
mod upgrade_plan;
mod usr_overlay;
mod wipe;

pub use ::image::{PolicyError, policy_of_commit};
pub use access::{Access, AccessError};
pub use auth_check::{AuthCheck, AuthCheckError, AuthPlace, auth_check};
pub use backend::{Backend, BootedOstree, Completed, EtcPlace, Job};
pub use bound_error::BoundError;
pub use bound_images::{
    BoundImageStatus, BoundPlan, BoundStore, bound_images, bound_roots, bound_store,
    check_bound_images, fetch_bound_images, list_bound_images, plan_bound_images,
    prune_bound_images, prune_container_store,
};
pub use bound_root::BoundRoot;
pub use bound_store::BoundPlace;
pub use change::{BootedEntry, Change, ChangeError, ChangeOptions};
pub use cleanup::{Cleaned, cleanup};
pub use composefs_backend::BootedComposefs;
pub use composefs_fetch::FetchedRoot;
pub use composefs_prune::{ComposefsPruneError, composefs_prune};
pub use composefs_pull::{ComposefsPullError, ComposefsPullOptions, composefs_pull};
pub use composefs_store::{composefs_store, ensure_composefs_store, link_bootc};
pub use container::{
    ContainerError, CopiedImage, FoundManifest, Unwrapped, copy_image, encapsulate,
    encapsulate_directory, fetch_manifest, image_export, replace_detached_metadata, unencapsulate,
};
pub use deploy::{DeployImageError, DeployOptions, Deployed, deploy};
pub use deploy_revision::{DeployedRevision, Revision, deploy_revision};
pub use derived::{BOOTC_DERIVED_KEY, DerivedError, base_commit};
pub use edit::{SpecChange, SpecError};
pub use environment::{Environment, Surroundings};
pub use fsck::{Fsck, FsckError, Stores, fsck};
pub use fstab::fixup_etc_fstab;
pub use host_document::{
    BootEntry, BootOrder, ComposefsEntry, EntryImage, Host, HostImage, HostSpec, HostStatus,
    ImageSignature, OstreeEntry, RequiredHostSpec, UsrOverlayStatus,
};
pub use image_args::{ArgumentChanges, ImageArgsError, argument_changes, image_arguments};
pub use image_check::{DamagedLayer, Verified, VerifyError, image_check, image_repair};
pub use image_compare::{CompareError, Compared, image_compare};
pub use image_copy::{image_clear_cached_update, image_copy};
pub use image_explain::{Explanation, TrustError, image_explain};
pub use image_history::{History, LayerHistory, image_history};
pub use image_list::{ImageEntry, ImageList, image_list};
pub use image_metadata::{Document, image_metadata, image_verdict};
pub use image_prune::{PruneDepth, PruneImagesError, Pruned, image_prune, image_prune_layers};
pub use image_remove::{Removal, RemoveError, image_remove, image_remove_only};
pub use image_to_storage::{ForPodman, GivenToPodman, ToStorageError};
pub use kernel_arguments::{ArgsChange, change_kernel_arguments, kernel_arguments};
pub use layer_count::LayerCount;
pub use packages::PackageChanges;
pub use pin::{Pinned, pin};
pub use pull::{Check, PullError, PullOptions, Pulled, check, pull};
pub use remote_signature::RemoteSignatureError;
pub use reset::{ResetDone, ResetOptions, reset};
pub use retag::{RetagError, retag};
pub use rollback::rollback;
pub use root_status::RootStatus;
pub use selector::Selector;
pub use setup_deployment::{SetupDeploymentError, mount_deployment};
pub use soft_reboot::prepare_soft_reboot;
pub use space::{FileSystemPlan, NoSpace};
pub use stateroot_remove::RemovedStateroot;
pub use status::{
    DamagedEntryStatus, DeploymentStatus, Fixable, ImageStatus, RunningFacts, Status, Update,
    status,
};
pub use storage::{RunningSystem, Storage, StorageError};
pub use storage_compose::{ComposeError, Composed, storage_compose};
pub use storage_use::{StorageUse, StoreUse, storage_use};
pub use stored::StoredError;
pub use switch_in_place::{SwitchedInPlace, switch_origin_inplace};
pub use undeploy::undeploy;
pub use unified::{UnifyError, set_unified};
pub use upgrade::{UpgradeOptions, Upgraded, check_upgrade, switch, upgrade};
pub use upgrade_plan::UpgradePlan;
pub use usr_overlay::{MountOverlay, unlock_usr};
pub use wipe::wipe_ostree;
