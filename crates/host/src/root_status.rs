//! What is deployed of roots that are images of composefs.

use composefs::Store;
use composefs_root::{BootType, RootDeployment, RootEntry, RootOrigin, RootProblem, Roots};
use image::version_of;
use serde::Serialize;

use crate::ChangeError;
use crate::host_document::{ComposefsEntry, Host, overlay_of_root};
use crate::selinux_policy::same_policy;
use crate::status::{Fixable, ImageStatus, RunningFacts, Status, created};

/// A deployment whose root is an image of composefs.
#[derive(Debug, Clone, Serialize)]
pub struct RootStatus {
    /// Its place in the list, by which verbs name it.
    pub index: usize,
    /// The digest of the image, by which it is known.
    pub root: String,
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
    /// Whether the running system can change to it without starting the kernel anew.
    pub soft_reboot_capable: bool,
    /// Why it cannot.
    pub soft_reboot_obstacle: Option<String>,
    /// Whether a soft reboot is prepared that changes to it.
    pub soft_reboot_target: bool,
    /// Whether no other drives it out.
    pub pinned: bool,
    /// The version of the system in it.
    pub version: Option<String>,
    /// The image it came from.
    pub image: Option<ImageStatus>,
    /// Whether it boots by a kernel and an initramfs (`bls`) or by a unified kernel image (`uki`).
    pub boot_type: Option<&'static str>,
    /// The SHA-256 of its kernel and initramfs.
    pub boot_checksum: Option<String>,
    /// Whether image and files need not be verified by the kernel.
    pub missing_verity_allowed: bool,
    /// Its kernel arguments, without the one that selects it.
    pub kernel_arguments: Vec<String>,
    /// What is wrong with it.
    pub problems: Vec<Fixable>,
}

/// What is deployed.
pub(crate) fn status(
    roots: &Roots,
    store: Option<&Store>,
    facts: RunningFacts,
) -> Result<Status, ChangeError> {
    let found = roots.deployments()?;
    let booted = found.iter().position(|one| one.booted);
    let systemd_boot = roots.boots_by_systemd_boot();
    let described = found.into_iter().enumerate();
    let described = described.map(|(index, one)| {
        let obstacle = obstacle(roots, store, &one, facts);
        RootStatus {
            pending: booted.is_some_and(|booted| index < booted),
            rollback: booted.is_some_and(|booted| index == booted.saturating_add(1)),
            soft_reboot_capable: obstacle.is_none(),
            // Of what runs there is nothing to say.
            soft_reboot_obstacle: obstacle.filter(|_| booted.is_some() && !one.booted),
            soft_reboot_target: roots.is_next_root(&one.id).unwrap_or_default(),
            ..describe(store, index, &one)
        }
    });
    let described: Vec<_> = described.collect();
    let mut host = Host::of_roots(&described, systemd_boot, facts);
    host.status.usr_overlay = roots.usr_overlay().and_then(overlay_of_root);
    // Those that cannot be listed have no part in what boots.
    let stateroots = roots.stateroots().unwrap_or_default();
    Ok(Status::of_roots(
        host,
        roots.is_running(),
        stateroots,
        described,
    ))
}

/// What keeps the running system from changing to a deployment without starting the kernel anew. Of one that cannot be
/// read that is what is wrong with it.
fn obstacle(
    roots: &Roots,
    store: Option<&Store>,
    next: &RootDeployment,
    facts: RunningFacts,
) -> Option<String> {
    match roots.soft_reboot_block(next) {
        Err(error) => return Some(error.to_string()),
        Ok(Some(block)) => return Some(block.to_string()),
        Ok(None) => {}
    }
    if !facts.soft_reboot {
        return Some("the service manager of this system has no soft reboots".to_owned());
    }
    let fits = || same_policy(store?, &roots.booted()?.digest, &next.id).then_some(());
    let other = facts.selinux && fits().is_none();
    other.then(|| {
        format!(
            "deployment {} has another SELinux policy than what runs",
            next.id
        )
    })
}

fn describe(store: Option<&Store>, index: usize, deployment: &RootDeployment) -> RootStatus {
    let origin = deployment.origin.as_ref();
    let entry = deployment.entry.as_ref();
    let arguments = entry.map(RootEntry::kernel_args).unwrap_or_default();
    let argument = arguments.last_value("composefs").unwrap_or_default();
    let others = entry.map(RootEntry::own_args).unwrap_or_default();
    RootStatus {
        index,
        root: deployment.id.to_string(),
        booted: deployment.booted,
        pending: false,
        rollback: false,
        staged: deployment.staged,
        finalization_locked: deployment.locked,
        soft_reboot_capable: false,
        soft_reboot_obstacle: None,
        soft_reboot_target: false,
        pinned: origin.is_some_and(RootOrigin::is_pinned),
        version: entry.and_then(RootEntry::version).map(str::to_owned),
        image: origin.and_then(|origin| describe_image(store, origin)),
        boot_type: origin.and_then(RootOrigin::boot_type).map(BootType::name),
        boot_checksum: origin.and_then(RootOrigin::boot_digest),
        missing_verity_allowed: argument.starts_with('?'),
        kernel_arguments: others.to_strings(),
        problems: deployment.problems.iter().map(problem).collect(),
    }
}

/// What is known of an image, as far as its manifest is stored.
fn describe_image(store: Option<&Store>, origin: &RootOrigin) -> Option<ImageStatus> {
    let reference = origin.image()?;
    let digest = origin.manifest_digest();
    let stored = digest.as_deref().zip(store);
    let stored = stored.and_then(|(digest, store)| composefs_image::find(store, digest).ok());
    let config = stored.as_ref().map(|stored| stored.config.config());
    Some(ImageStatus {
        reference,
        version: config.and_then(version_of).map(str::to_owned),
        created: config.and_then(created),
        architecture: config.map(|config| config.architecture().to_string()),
        digest,
        verdict: None,
        update: None,
    })
}

fn problem(problem: &RootProblem) -> Fixable {
    let fix = match problem {
        RootProblem::NoEntry => "deploy it again, which gives it a boot entry",
        RootProblem::NoImage => "pull the image again",
        _ => "deploy the image again",
    };
    Fixable {
        problem: problem.to_string(),
        fix,
    }
}

impl RootStatus {
    /// The same for the document of the host.
    pub(crate) fn entry(&self, systemd_boot: bool) -> ComposefsEntry {
        ComposefsEntry {
            verity: self.root.clone(),
            boot_type: self.boot_type,
            bootloader: if systemd_boot { "systemd" } else { "grub" },
            boot_digest: self.boot_checksum.clone(),
            missing_verity_allowed: self.missing_verity_allowed,
        }
    }
}
