//! What is deployed.

use std::collections::HashSet;

use image::{cached_update, query_image_commit};
use ostree::Repo;
use ostree_format::Checksum;
use serde::Serialize;
use sysroot::{LoadError, Problem, Sysroot, Unlocked};

use crate::text::text;

/// What is deployed (`docs/status.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    schema: &'static str,
    /// Whether this is the running system.
    pub running: bool,
    /// The stateroots that exist, with or without deployments.
    pub stateroots: Vec<String>,
    /// The deployments in the order in which the boot loader offers them, a staged one first.
    pub deployments: Vec<DeploymentStatus>,
    /// Boot entries that lead nowhere.
    pub damaged: Vec<DamagedEntryStatus>,
}

/// A deployment.
#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub struct DeploymentStatus {
    /// Its place in the list, by which verbs name it.
    pub index: usize,
    /// Its stateroot.
    pub stateroot: String,
    /// The commit that is deployed.
    #[serde(serialize_with = "text")]
    pub commit: Checksum,
    /// Its number among deployments of that commit.
    pub serial: u32,
    /// It is running.
    pub booted: bool,
    /// It boots next instead of the running one.
    pub pending: bool,
    /// The running one can be rolled back to it.
    pub rollback: bool,
    /// It is completed when the system shuts down.
    pub staged: bool,
    /// It is staged, but waits for a release.
    pub finalization_locked: bool,
    /// Clean-ups keep it.
    pub pinned: bool,
    /// Whether it was made writable.
    pub unlocked: Unlocked,
    /// The version that the image or the commit says it has.
    pub version: Option<String>,
    /// The image it came from.
    pub image: Option<ImageStatus>,
    /// The ref it follows, when it came from no image.
    pub refspec: Option<String>,
    /// The checksum of its kernel and initramfs.
    pub boot_checksum: String,
    /// Its kernel arguments, without the one that selects it.
    pub kernel_arguments: Vec<String>,
    /// What is wrong with it.
    pub problems: Vec<Fixable>,
}

/// The image of a deployment.
#[derive(Debug, Clone, Serialize)]
pub struct ImageStatus {
    /// The reference that it follows, as its origin file has it.
    pub reference: String,
    /// The digest of the manifest; unknown when the commit cannot be read.
    pub digest: Option<String>,
    /// When it was made, by its own words (RFC 3339).
    pub created: Option<String>,
    /// A newer image that was seen, but not pulled.
    pub update: Option<Update>,
}

/// A newer image.
#[derive(Debug, Clone, Serialize)]
pub struct Update {
    /// The digest of its manifest.
    pub digest: String,
    /// The version that it says it has.
    pub version: Option<String>,
}

/// Something that is wrong, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fixable {
    /// What is wrong.
    pub problem: String,
    /// What helps.
    pub fix: &'static str,
}

/// A boot entry that leads nowhere.
#[derive(Debug, Clone, Serialize)]
pub struct DamagedEntryStatus {
    /// The entry's file, in `boot/loader/entries`; for a stage that cannot be read, its description.
    pub boot_entry: String,
    /// What is wrong, and what helps.
    #[serde(flatten)]
    pub damage: Fixable,
}

/// Tells what is deployed. What is damaged is part of the answer.
///
/// # Errors
/// [`LoadError`] when it cannot even be told which boot entries are active.
pub fn status(sysroot: &Sysroot) -> Result<Status, LoadError> {
    let found = sysroot.status()?;
    let describe = |deployment| describe(sysroot.repo(), deployment);
    let mut deployments: Vec<_> = found.deployments.into_iter().map(describe).collect();
    forget_deployed_updates(&mut deployments);
    Ok(Status {
        schema: "bootroot.status/1",
        running: sysroot.is_running(),
        stateroots: found.stateroots.iter().map(ToString::to_string).collect(),
        deployments,
        damaged: found.damaged.into_iter().map(damaged).collect(),
    })
}

fn describe(repo: &Repo, deployment: sysroot::DeploymentStatus) -> DeploymentStatus {
    let commit = &deployment.commit;
    let arguments = deployment.kernel_args.without_ostree();
    let described = deployment
        .image_reference
        .map(|reference| describe_image(repo, reference, commit));
    let (image, image_version) = described.unzip();
    DeploymentStatus {
        index: deployment.index,
        stateroot: deployment.stateroot.to_string(),
        commit: deployment.commit,
        serial: deployment.serial,
        booted: deployment.booted,
        pending: deployment.pending,
        rollback: deployment.rollback,
        staged: deployment.staged,
        finalization_locked: deployment.finalization_locked,
        pinned: deployment.pinned,
        unlocked: deployment.unlocked,
        version: image_version.flatten().or(deployment.version),
        refspec: deployment.refspec.filter(|_| image.is_none()),
        image,
        boot_checksum: deployment.boot_checksum.to_string(),
        kernel_arguments: arguments.iter().map(ToString::to_string).collect(),
        problems: deployment.problems.into_iter().map(problem).collect(),
    }
}

/// What is known of an image, as far as its commit can be read, and its version.
fn describe_image(
    repo: &Repo,
    reference: String,
    commit: &Checksum,
) -> (ImageStatus, Option<String>) {
    let state = query_image_commit(repo, commit).ok();
    let newer = cached_update(repo, commit).ok().flatten();
    let version = state
        .as_ref()
        .and_then(|state| state.version().map(str::to_owned));
    let image = ImageStatus {
        reference,
        digest: state
            .as_ref()
            .map(|state| state.manifest_digest.to_string()),
        created: state.and_then(|state| state.configuration.created().clone()),
        update: newer.map(|newer| Update {
            digest: newer.manifest_digest.to_string(),
            version: newer.version().map(str::to_owned),
        }),
    };
    (image, version)
}

/// What was an update for an older deployment is none any more when a newer one has it.
fn forget_deployed_updates(deployments: &mut [DeploymentStatus]) {
    let digests = deployments
        .iter()
        .filter_map(|deployment| deployment.image.as_ref()?.digest.clone());
    let deployed: HashSet<String> = digests.collect();
    for image in deployments
        .iter_mut()
        .filter_map(|deployment| deployment.image.as_mut())
    {
        image
            .update
            .take_if(|update| deployed.contains(&update.digest));
    }
}

fn problem(status: sysroot::ProblemStatus) -> Fixable {
    let fix = match status.problem {
        Problem::Origin { .. } => "deploy the image again to give it a new origin",
        Problem::MissingBootFile { .. } => {
            "deploy it again, which installs its kernel anew; boot another until then"
        }
        Problem::MissingCommit => "pull the image again",
        Problem::MissedFinalization => {
            "shut down cleanly, which completes it; or give it up with `bootroot rollback`"
        }
        _ => "deploy the image again",
    };
    Fixable {
        problem: status.message,
        fix,
    }
}

fn damaged(entry: sysroot::DamagedStatus) -> DamagedEntryStatus {
    DamagedEntryStatus {
        boot_entry: entry.file,
        damage: Fixable {
            problem: entry.cause,
            fix: "the next deployment writes all boot entries anew, without this one",
        },
    }
}
