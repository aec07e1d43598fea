//! Systems whose roots are images of composefs: their deployments, boot entries, and how they are mounted.
//!
//! A deployment is an image of the repository, by whose digest it is known, and a state: an `/etc` of its own, the `/var`
//! of all. Boot entries have the digest in their kernel arguments. Two rules hold throughout: whatever changes
//! something needs the lock, and the boot entries change last, in one step, after everything that they lead to is on
//! disk. At whatever instruction the process dies, the old or the new entries boot, and repeating the call completes.
//!
//! Images are read by mounting them, as the system that boots does: that needs the privileges for it, and Linux
//! 6.12. Knows nothing of repositories of OSTree, of images of containers and of networks.
//!
//! Source of the layout: bootc, whose deployments these are.

mod argument;
mod boot_files;
mod change;
mod collect;
mod deploy;
mod directory;
mod entry;
mod error;
mod etc;
mod finalize;
mod layout;
mod list;
mod menu;
mod mount;
mod next_root;
mod order;
mod origin;
mod pin;
mod plan;
mod reset;
mod roots;
mod setup;
mod staged;
mod state;
mod tree;
mod uki;

pub use argument::{InvalidRootArgument, RootArgument};
pub use change::{MenuChange, MenuPlan};
pub use collect::{Collected, Needed};
pub use deploy::{DeployedRoot, RootRequest};
pub use entry::RootEntry;
pub use error::RootError;
pub use finalize::FinalizedRoot;
pub use list::{RootDeployment, RootProblem};
pub use mount::{MountError, overlay_usr};
pub use next_root::SoftRebootBlock;
pub use order::RolledBack;
pub use origin::{BootType, OriginError, RootOrigin};
pub use plan::{BootSpace, RootPlan};
pub use roots::{Roots, RunningRoot};
pub use setup::{
    MountKind, Notice, SetupConfig, SetupConfigError, SetupDeployment, SetupPlaces, SetupRoot,
    setup_deployment, setup_root,
};
pub use staged::{StagedRoot, StagedRootError};
