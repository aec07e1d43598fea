//! Making a list of deployments the one that boots.
//!
//! [`plan`] says what would be written, [`apply`] writes it. The order is libostree's: kernels and
//! entries go to the set that is not active, everything is synced, and then one link is switched:
//! `boot/loader` when entries change, `ostree/boot.N` when only deployments behind unchanged entries
//! do.

mod apply;
mod error;
mod freeze;
mod install;
mod links;
pub(crate) mod plan;
pub(crate) mod room;

pub use error::BootError;
pub use freeze::rest_journal;
pub use plan::{BootPlan, BootSwitch, PlannedEntry};
