//! What was changed in the `/etc` of a deployment.

use std::os::fd::{AsFd as _, BorrowedFd};

use serde::Serialize;
use tree::{Dir, Name, Node};

use crate::etc::{self, EtcLeaf, EtcMeta, EtcPlan};
use crate::{DeploymentId, Sysroot, dir};

/// What was changed in `/etc` since the deployment was made. Paths are relative to `/etc`, and escaped
/// where they are not printable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EtcChanges {
    /// Files with other content, owner or mode, links with another target, and directories with another
    /// owner or mode.
    pub modified: Vec<String>,
    /// What is gone; of a directory only itself.
    pub removed: Vec<String>,
    /// What is new; of a directory itself and everything in it.
    pub added: Vec<String>,
}

impl Sysroot {
    /// Compare the `/etc` of a deployment with the `/usr/etc` that it was made from.
    ///
    /// # Errors
    /// What the system said.
    pub fn etc_changes(&self, id: &DeploymentId) -> Result<EtcChanges, durable::Error> {
        let open = |path: &str| dir::open_optional(self.dir(), format!("{}/{path}", id.path()));
        match (open("usr/etc")?, open("etc")?) {
            (Some(default), Some(current)) => etc_changes(default.as_fd(), current.as_fd()),
            _ => Ok(EtcChanges::default()),
        }
    }
}

/// Compare an `/etc` with that which it was made from.
///
/// # Errors
/// What the system said.
pub fn etc_changes(
    default: BorrowedFd<'_>,
    current: BorrowedFd<'_>,
) -> Result<EtcChanges, durable::Error> {
    let old = etc::scan_directory(default)?;
    let current = etc::scan_directory(current)?;
    let plan = EtcPlan::new(&old, &current, &old);
    let mut added = Vec::new();
    add_new(Some(&old), &current, &mut Vec::new(), &mut added);
    Ok(EtcChanges {
        modified: plan.modified,
        removed: plan.removed,
        added,
    })
}

fn add_new(
    old: Option<&Dir<EtcMeta, EtcLeaf>>,
    current: &Dir<EtcMeta, EtcLeaf>,
    at: &mut Vec<Name>,
    added: &mut Vec<String>,
) {
    for (name, now) in &current.children {
        at.push(name.clone());
        let before = old.and_then(|old| old.children.get(name));
        if before.is_none() {
            added.push(etc::show(at));
        }
        // A file that became a directory is a modification as a whole.
        match (before, now) {
            (None, Node::Dir(now)) => add_new(None, now, at, added),
            (Some(Node::Dir(before)), Node::Dir(now)) => add_new(Some(before), now, at, added),
            _ => {}
        }
        at.pop();
    }
}
