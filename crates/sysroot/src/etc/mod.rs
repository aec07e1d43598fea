//! Carrying changes of `/etc` over to a new deployment.
//!
//! Three trees are compared: the default that the previous deployment came with (`/usr/etc`), what has
//! become of it (`/etc`), and the new default. The difference between the first two is applied to the
//! third. The rules are libostree's: a file that was changed, added or removed locally stays so,
//! whatever the new default is; nothing is merged within files; changes of attributes alone do not
//! count for directories; extended attributes are not compared. [`EtcPlan`] says it all beforehand.

#[cfg(test)]
mod answers;
mod apply;
mod directories;
mod model;
mod plan;
mod scan;
mod tree;

pub use directories::{ChangedEtc, EtcError, make_etc};
pub use plan::{EtcBlock, EtcConflict, EtcPlan};
pub use tree::{EtcLeaf, EtcMeta, EtcTree};

pub(crate) use apply::apply;
pub(crate) use plan::show;
pub(crate) use scan::{scan_commit, scan_directory};
