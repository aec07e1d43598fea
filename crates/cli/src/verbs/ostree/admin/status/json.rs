//! The document of `bootroot ostree admin status --json`, with the keys of `ostree admin status --json`.

use ostree::Repo;
use serde::Serialize;

use super::source_title;

#[derive(Serialize)]
pub(super) struct Document {
    deployments: Vec<Deployment>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
struct Deployment {
    checksum: String,
    stateroot: String,
    refspec: Option<String>,
    serial: u32,
    index: usize,
    booted: bool,
    pending: bool,
    rollback: bool,
    finalization_locked: bool,
    soft_reboot_target: bool,
    staged: bool,
    pinned: bool,
    unlocked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_title: Option<String>,
}

pub(super) fn document(repo: &Repo, status: &sysroot::Status) -> Document {
    let deployments = status.deployments.iter();
    Document {
        deployments: deployments
            .map(|deployment| Deployment {
                checksum: deployment.commit.to_string(),
                stateroot: deployment.stateroot.to_string(),
                refspec: deployment.refspec.clone(),
                serial: deployment.serial,
                index: deployment.index,
                booted: deployment.booted,
                // What is staged is told by its own key.
                pending: deployment.pending && !deployment.staged,
                rollback: deployment.rollback,
                finalization_locked: deployment.finalization_locked,
                soft_reboot_target: deployment.soft_reboot_target,
                staged: deployment.staged,
                pinned: deployment.pinned,
                unlocked: deployment.unlocked.to_string(),
                version: deployment.version.clone(),
                source_title: source_title(repo, deployment),
            })
            .collect(),
    }
}
