//! What is deployed.

use std::collections::HashSet;

use image::{CREATED_LABEL, cached_update, label_of, query_image_commit, recorded_verdict};
use image_trust::Verdict;
use oci::spec::ImageConfiguration;
use ostree::Repo;
use ostree_format::Checksum;
use serde::Serialize;
use sysroot::{LoadError, Problem, Sysroot, Unlocked};

use crate::RootStatus;
use crate::derived::base_commit;
use crate::host_document::Host;
use crate::text::{text, text_or_null};

/// The form of what is told.
const SCHEMA: &str = "bootroot.status/1";

/// Where a policy of SELinux is.
const SELINUX: &str = "usr/etc/selinux";

/// What is known of the running system itself, which decides what can be done with deployments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "three independent facts")]
pub struct RunningFacts {
    /// Its service manager can change to another root without starting the kernel anew.
    pub soft_reboot: bool,
    /// SELinux is switched on: such a change keeps the policy that is loaded.
    pub selinux: bool,
    /// The medium cannot be written.
    pub read_only: bool,
}

/// What is deployed (`docs/status.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    schema: &'static str,
    /// The same in the fields that bootc has.
    #[serde(flatten)]
    pub host: Host,
    /// Whether this is the running system.
    pub running: bool,
    /// The stateroots that exist, with or without deployments.
    pub stateroots: Vec<String>,
    /// The deployments in the order in which the boot loader offers them, a staged one first.
    pub deployments: Vec<DeploymentStatus>,
    /// Deployments whose roots are images of composefs, in the same order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<RootStatus>,
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
    /// Whether the running system can change to it without starting the kernel anew.
    pub soft_reboot_capable: bool,
    /// Whether a soft reboot is prepared that changes to it.
    pub soft_reboot_target: bool,
    /// Whether another program has added packages to it, so that no image describes it.
    pub incompatible: bool,
    /// The commit that it was derived from on this machine.
    #[serde(serialize_with = "text_or_null")]
    pub base_commit: Option<Checksum>,
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
    /// The version that it says it has.
    pub version: Option<String>,
    /// The processor that it is for, as images call it.
    pub architecture: Option<String>,
    /// Who vouched for it when it was pulled; nothing when nobody was asked.
    pub verdict: Option<Verdict>,
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
    /// When it was made, by its own words (RFC 3339).
    pub created: Option<String>,
    /// The processor that it is for, as images call it.
    pub architecture: Option<String>,
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
pub fn status(sysroot: &Sysroot, facts: RunningFacts) -> Result<Status, LoadError> {
    let found = sysroot.status()?;
    let describe = |deployment| describe(sysroot.repo(), deployment);
    let mut deployments: Vec<_> = found.deployments.into_iter().map(describe).collect();
    forget_deployed_updates(&mut deployments);
    forbid_soft_reboots(sysroot.repo(), &mut deployments, facts);
    Ok(Status {
        schema: SCHEMA,
        host: Host::new(&deployments, facts),
        running: sysroot.is_running(),
        stateroots: found.stateroots.iter().map(ToString::to_string).collect(),
        deployments,
        roots: Vec::new(),
        damaged: found.damaged.into_iter().map(damaged).collect(),
    })
}

impl Status {
    /// That of a system whose roots are images of composefs.
    pub(crate) const fn of_roots(
        host: Host,
        running: bool,
        stateroots: Vec<String>,
        roots: Vec<RootStatus>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            host,
            running,
            stateroots,
            deployments: Vec::new(),
            roots,
            damaged: Vec::new(),
        }
    }

    /// What keeps the running system from a soft reboot to what boots first; `None` when nothing does. Where the reason is not
    /// known it is empty.
    #[must_use]
    pub fn soft_reboot_obstacle(&self) -> Option<&str> {
        if let Some(root) = self.roots.first() {
            let obstacle = root.soft_reboot_obstacle.as_deref();
            return (!root.soft_reboot_capable).then(|| obstacle.unwrap_or_default());
        }
        let first = self.deployments.first();
        let capable = first.is_some_and(|first| first.soft_reboot_capable && !first.booted);
        (!capable).then_some("")
    }

    /// The same, with nothing but what runs; what is damaged stays.
    #[must_use]
    pub fn only_booted(mut self) -> Self {
        self.deployments.retain(|deployment| deployment.booted);
        self.roots.retain(|root| root.booted);
        self.host.only_booted();
        self
    }
}

fn describe(repo: &Repo, deployment: sysroot::DeploymentStatus) -> DeploymentStatus {
    let commit = &deployment.commit;
    let arguments = deployment.kernel_args.without_ostree();
    let base_commit = base_commit(repo, commit).ok().flatten();
    let image = deployment
        .image_reference
        .map(|reference| describe_image(repo, reference, &base_commit.unwrap_or(*commit)));
    let image_version = image.as_ref().and_then(|image| image.version.clone());
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
        soft_reboot_capable: deployment.same_kernel,
        soft_reboot_target: deployment.soft_reboot_target,
        incompatible: deployment.layered,
        base_commit,
        version: image_version.or(deployment.version),
        refspec: deployment.refspec.filter(|_| image.is_none()),
        image,
        boot_checksum: deployment.boot_checksum.to_string(),
        kernel_arguments: arguments.iter().map(ToString::to_string).collect(),
        problems: deployment.problems.into_iter().map(problem).collect(),
    }
}

/// What is known of an image, as far as its commit can be read.
fn describe_image(repo: &Repo, reference: String, commit: &Checksum) -> ImageStatus {
    let state = query_image_commit(repo, commit).ok();
    let newer = cached_update(repo, commit).ok().flatten();
    let config = state.as_ref().map(|state| &state.configuration);
    let version = state.as_ref().and_then(|state| state.version());
    // What is not understood was not written here.
    let verdict = recorded_verdict(repo, commit).ok().flatten();
    let verdict = verdict.and_then(|text| serde_json::from_str(&text).ok());
    ImageStatus {
        reference,
        version: version.map(str::to_owned),
        digest: state
            .as_ref()
            .map(|state| state.manifest_digest.to_string()),
        created: config.and_then(created),
        architecture: config.map(|config| config.architecture().to_string()),
        verdict,
        update: newer.map(|newer| Update {
            digest: newer.manifest_digest.to_string(),
            version: newer.version().map(str::to_owned),
            created: created(&newer.config),
            architecture: Some(newer.config.architecture().to_string()),
        }),
    }
}

/// When an image was made: its label says it better than the program that packed it.
pub(crate) fn created(config: &ImageConfiguration) -> Option<String> {
    let label = label_of(config, CREATED_LABEL).map(str::to_owned);
    label.or_else(|| config.created().clone())
}

/// Without starting the kernel anew, the policy of SELinux that is loaded stays, so it must be the same.
fn forbid_soft_reboots(repo: &Repo, deployments: &mut [DeploymentStatus], facts: RunningFacts) {
    let policy = |commit: &Checksum| {
        let tree = repo.subtree(commit, SELINUX).ok().flatten();
        tree.map(|(contents, _)| contents)
    };
    let booted = deployments.iter().find(|deployment| deployment.booted);
    let booted = booted.map(|deployment| deployment.commit);
    for deployment in deployments {
        let fits = || booted.is_some_and(|booted| policy(&booted) == policy(&deployment.commit));
        deployment.soft_reboot_capable &= facts.soft_reboot && (!facts.selinux || fits());
    }
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
