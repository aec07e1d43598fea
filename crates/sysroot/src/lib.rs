//! The deploy engine: stateroots, deployments, boot entries.
//!
//! A sysroot is a physical root with `/ostree` and `/boot`. What is in it, and the order in which it
//! changes, are those of libostree, so that both programs work on the same system. Two rules hold
//! throughout: whatever changes something needs the lock ([`Locked`]), and the links that decide what
//! boots move last, in one step each, after everything that they lead to is on disk. At whatever
//! instruction the process dies, the old or the new set of deployments boots, and repeating the call
//! cleans up and completes.
//!
//! Knows nothing of images and networks: it deploys commits that are in the repository.
//!
//! Source of the layout: libostree's documentation ("Deployments", "Atomic upgrades") and the
//! behaviour of the `ostree admin` commands, which the tests compare with. Where this crate does more
//! than libostree, or something else:
//!
//! - A boot entry that leads nowhere is reported ([`DamagedEntry`], [`Problem`]) and hinders nobody;
//!   kernels that are missing or cut off in `/boot` come back with the next change.
//! - `/var` is filled in one step: an interrupted first deployment does not leave half of it.
//! - The refs of new deployments are written before they boot, not after.
//! - In `/etc`, what was put into a directory that used to be a file is carried over, a file that was
//!   removed locally may be gone with its directory, and a link out of `/etc` is not written through.
//! - `bls-append-except-default` is taken back from an entry that becomes the default.
//! - Of several kernels in `usr/lib/modules` the newest is taken, not the first in directory order.
//! - A default entry of `syslinux.cfg` that is somebody else's stays the default.
//! - No configuration of GRUB is written where no generator is known ([`BootError::Loader`]); `zipl` is run on
//!   the running system only, and not for Secure Execution.

mod attributes;
mod boot;
mod boot_config;
mod boot_root;
mod cleanup;
mod copy;
mod damage;
mod deploy;
mod deployment;
mod deployment_id;
mod dir;
mod etc;
mod etc_changes;
mod immutable;
mod initramfs;
mod kept_stage;
mod kernel;
mod label_missing;
mod layout;
mod list;
mod listed;
mod load;
mod loader;
mod lock;
mod newest;
mod next_root;
mod origin;
mod overlay_initrd;
mod refs;
mod running;
mod source;
mod staged;
mod staging;
mod state_overlay;
mod stateroot;
mod status;
mod sysroot;
mod unlock;

pub use boot::{BootError, BootPlan, BootSwitch, PlannedEntry, rest_journal};
pub use boot_config::{BootConfig, BootConfigError, BootloaderChoice};
pub use cleanup::{CleanupError, CleanupPlan};
pub use damage::{Damage, DamagedEntry};
pub use deploy::{
    ArgsBase, DeployError, DeployPlan, DeployRequest, KernelArgsEdit, MergeError, MergeFrom,
    Retain, SpacePlan, UnfitCommit, VarPlan,
};
pub use deployment::{Deployment, Problem, Unlocked};
pub use deployment_id::{DeploymentId, InvalidDeploymentName};
pub use etc::{
    ChangedEtc, EtcBlock, EtcConflict, EtcError, EtcLeaf, EtcMeta, EtcPlan, EtcTree, make_etc,
};
pub use etc_changes::{EtcChanges, etc_changes};
pub use initramfs::{BootArgumentError, deployment_of_argument, note_boot};
pub use kernel::{BootFile, Kernel, KernelError, kernel_of_directory};
pub use label_missing::label_missing;
pub use layout::Layout;
pub use list::{ListError, ListPlan};
pub use listed::Listed;
pub use load::{LoadError, State};
pub use loader::{GeneratedLoader, LoaderKind};
pub use lock::SysrootLockError;
pub use next_root::{
    Composefs, InvalidRootConfig, NextRootError, NextRootMountError, RootConfig, RootConfigError,
    Transient, Workshop, next_root_is_mounted, unmount_next_root,
};
pub use origin::Origin;
pub use overlay_initrd::OverlayInitrd;
pub use refs::DeploymentRefError;
pub use running::Running;
pub use source::SourceError;
pub use staged::{StagedData, StagedError};
pub use staging::Finalized;
pub use state_overlay::prepare_state_overlay;
pub use stateroot::{InvalidStateroot, StaterootError, StaterootName, occupied_bytes};
pub use status::{DamagedStatus, DeploymentStatus, ProblemStatus, Status};
pub use sysroot::{BootDirError, EntryNames, Locked, OpenSysrootError, Sysroot, SysrootOptions};
pub use unlock::{UnlockError, UnlockFor, UsrOverlay};
