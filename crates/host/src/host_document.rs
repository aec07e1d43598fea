//! The host as one document, with the fields that bootc gives its own (`org.containers.bootc/v1`): what scripts look
//! for there they find here.
//!
//! Source: bootc, `docs/src/host-v1.schema.json`. Ours is `docs/status.schema.json`.

use oci::reference::{ImageReference, OstreeImageReference, SignatureSource, UnknownTransport};
use serde::{Deserialize, Serialize};
use sysroot::Unlocked;

use crate::{DeploymentStatus, ImageStatus, RootStatus, RunningFacts, Update};

/// The document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    /// What is wanted.
    pub spec: HostSpec,
    /// What is there.
    pub status: HostStatus,
}

#[derive(Debug, Clone, Serialize)]
struct Metadata {
    name: &'static str,
}

/// What is wanted of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSpec {
    /// The image that is followed.
    pub image: Option<HostImage>,
    /// What boots next.
    #[serde(default)]
    pub boot_order: BootOrder,
}

/// What boots next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "the document has these two")]
pub enum BootOrder {
    /// What is staged, or what runs.
    #[default]
    Default,
    /// What the running one can be rolled back to.
    Rollback,
}

/// An image as the document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostImage {
    /// Its name, in the syntax of the transport.
    pub image: String,
    /// The transport's name.
    pub transport: String,
    /// Which signature is required; none when there is no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ImageSignature>,
}

/// Which signature an image needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "the document has these three")]
pub enum ImageSignature {
    /// One by a key of this remote, of the commit in the image.
    OstreeRemote(String),
    /// What the image policy asks for, which must not accept everything.
    ContainerPolicy,
    /// None but what the image policy asks for.
    Insecure,
}

/// What there is.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// What is completed at shutdown and boots then.
    pub staged: Option<BootEntry>,
    /// What runs.
    pub booted: Option<BootEntry>,
    /// The other one of the same stateroot.
    pub rollback: Option<BootEntry>,
    /// All others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_deployments: Vec<BootEntry>,
    /// Whether what can be rolled back to boots next.
    pub rollback_queued: bool,
    /// `bootcHost` when what runs came from an image.
    #[serde(rename = "type")]
    pub kind: Option<&'static str>,
    /// How `/usr` was made writable.
    pub usr_overlay: Option<UsrOverlayStatus>,
    /// Whether the medium cannot be written.
    pub read_only: bool,
}

/// How `/usr` was made writable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsrOverlayStatus {
    access_mode: &'static str,
    persistence: &'static str,
}

/// A deployment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub struct BootEntry {
    /// Its image.
    pub image: Option<EntryImage>,
    /// A newer one that was seen.
    pub cached_update: Option<EntryImage>,
    /// Whether another program has added to it, so that no image describes it.
    pub incompatible: bool,
    /// Whether clean-ups keep it.
    pub pinned: bool,
    /// Whether it can be changed to without starting the kernel anew.
    pub soft_reboot_capable: bool,
    /// Whether it is staged, but waits for a release.
    pub download_only: bool,
    /// What it is stored in.
    pub store: Option<&'static str>,
    /// What it is to OSTree.
    pub ostree: Option<OstreeEntry>,
    /// What it is to composefs, when that makes its root.
    pub composefs: Option<ComposefsEntry>,
}

/// What a deployment is to composefs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComposefsEntry {
    /// The digest of its image.
    pub verity: String,
    /// How it boots: `bls` or `uki`.
    pub boot_type: Option<&'static str>,
    /// What boots it: `grub` or `systemd`.
    pub bootloader: &'static str,
    /// The SHA-256 of its kernel and initramfs.
    pub boot_digest: Option<String>,
    /// Whether the kernel need not verify it.
    pub missing_verity_allowed: bool,
}

/// What a deployment is to OSTree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OstreeEntry {
    /// Its stateroot.
    pub stateroot: String,
    /// Its commit.
    pub checksum: String,
    /// Its number among deployments of that commit.
    pub deploy_serial: u32,
}

/// The image of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryImage {
    /// What is followed.
    pub image: HostImage,
    /// The version that it says it has.
    pub version: Option<String>,
    /// When it was made (RFC 3339).
    pub timestamp: Option<String>,
    /// The digest of its manifest.
    pub image_digest: String,
    /// What it is for.
    pub architecture: String,
}

/// A specification that names its image, as a change needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "this is all that is required")]
pub struct RequiredHostSpec<'a> {
    /// The image.
    pub image: &'a HostImage,
}

impl HostSpec {
    /// The specification, if it names an image.
    #[must_use]
    pub fn required(&self) -> Option<RequiredHostSpec<'_>> {
        let image = self.image.as_ref()?;
        Some(RequiredHostSpec { image })
    }
}

impl From<&OstreeImageReference> for HostImage {
    fn from(image: &OstreeImageReference) -> Self {
        Self {
            image: image.imgref.name.clone(),
            transport: image.imgref.transport.name().to_owned(),
            signature: match &image.sigverify {
                SignatureSource::OstreeRemote(remote) => {
                    Some(ImageSignature::OstreeRemote(remote.clone()))
                }
                SignatureSource::ContainerPolicy => Some(ImageSignature::ContainerPolicy),
                SignatureSource::ContainerPolicyAllowInsecure => None,
            },
        }
    }
}

impl TryFrom<&HostImage> for OstreeImageReference {
    type Error = UnknownTransport;

    fn try_from(image: &HostImage) -> Result<Self, UnknownTransport> {
        let transport = image.transport.parse()?;
        Ok(Self {
            sigverify: match &image.signature {
                Some(ImageSignature::OstreeRemote(remote)) => {
                    SignatureSource::OstreeRemote(remote.clone())
                }
                Some(ImageSignature::ContainerPolicy) => SignatureSource::ContainerPolicy,
                Some(ImageSignature::Insecure) | None => {
                    SignatureSource::ContainerPolicyAllowInsecure
                }
            },
            imgref: ImageReference::new(transport, image.image.clone()),
        })
    }
}

impl Host {
    /// What the deployments give, in the order in which the boot loader offers them.
    pub(crate) fn new(deployments: &[DeploymentStatus], facts: RunningFacts) -> Self {
        Self::of(HostStatus::new(deployments, facts))
    }

    /// What roots give that are images of composefs, in the same order.
    pub(crate) fn of_roots(roots: &[RootStatus], systemd_boot: bool, facts: RunningFacts) -> Self {
        Self::of(HostStatus::of_roots(roots, systemd_boot, facts))
    }

    fn of(status: HostStatus) -> Self {
        let followed = status.staged.as_ref().or(status.booted.as_ref());
        // Where nothing runs, what boots first is meant.
        let followed = followed.or(status.other_deployments.first());
        let image = followed.and_then(|entry| entry.image.as_ref());
        Self {
            api_version: "org.containers.bootc/v1",
            kind: "BootcHost",
            metadata: Metadata { name: "host" },
            spec: HostSpec {
                image: image.map(|image| image.image.clone()),
                boot_order: match status.rollback_queued {
                    true => BootOrder::Rollback,
                    false => BootOrder::Default,
                },
            },
            status,
        }
    }

    /// The same, with nothing but what runs.
    pub(crate) fn only_booted(&mut self) {
        self.status.staged = None;
        self.status.rollback = None;
        self.status.other_deployments.clear();
    }
}

impl HostStatus {
    fn new(deployments: &[DeploymentStatus], facts: RunningFacts) -> Self {
        let booted = deployments.iter().find(|one| one.booted);
        let mut status = Self {
            booted: booted.map(entry),
            usr_overlay: booted.and_then(|booted| overlay(booted.unlocked)),
            read_only: facts.read_only,
            ..Self::default()
        };
        let has_image = |entry: &BootEntry| entry.image.is_some();
        status.kind = status
            .booted
            .as_ref()
            .filter(|entry| has_image(entry))
            .map(|_| "bootcHost");
        for one in deployments.iter().filter(|one| !one.booted) {
            let related = booted.is_some_and(|booted| booted.stateroot == one.stateroot);
            if related && one.staged {
                status.staged = Some(entry(one));
            } else if related && status.rollback.is_none() {
                status.rollback = Some(entry(one));
                status.rollback_queued = booted.is_some_and(|booted| one.index < booted.index);
            } else {
                status.other_deployments.push(entry(one));
            }
        }
        status
    }
}

impl HostStatus {
    fn of_roots(roots: &[RootStatus], systemd_boot: bool, facts: RunningFacts) -> Self {
        let entry = |root: &RootStatus| root_entry(root, systemd_boot);
        let mut status = Self {
            read_only: facts.read_only,
            ..Self::default()
        };
        for root in roots {
            let slot = match root {
                _ if root.staged => &mut status.staged,
                _ if root.booted => &mut status.booted,
                _ => &mut status.rollback,
            };
            if slot.is_none() && roots.iter().any(|one| one.booted) {
                *slot = Some(entry(root));
                status.rollback_queued |= root.pending && !root.staged;
            } else {
                status.other_deployments.push(entry(root));
            }
        }
        let booted = status.booted.as_ref();
        let has_image = booted.is_some_and(|entry| entry.image.is_some());
        status.kind = has_image.then_some("bootcHost");
        status
    }
}

fn root_entry(root: &RootStatus, systemd_boot: bool) -> BootEntry {
    let (image, cached_update) = root.image.as_ref().and_then(entry_images).unzip();
    BootEntry {
        image,
        cached_update: cached_update.flatten(),
        incompatible: false,
        pinned: root.pinned,
        soft_reboot_capable: root.soft_reboot_capable,
        download_only: root.finalization_locked,
        store: None,
        ostree: None,
        composefs: Some(root.entry(systemd_boot)),
    }
}

fn entry(deployment: &DeploymentStatus) -> BootEntry {
    let image = deployment
        .image
        .as_ref()
        .filter(|_| !deployment.incompatible);
    let (image, cached_update) = image.and_then(entry_images).unzip();
    BootEntry {
        image,
        cached_update: cached_update.flatten(),
        incompatible: deployment.incompatible,
        pinned: deployment.pinned,
        soft_reboot_capable: deployment.soft_reboot_capable,
        download_only: deployment.finalization_locked,
        store: Some("ostreeContainer"),
        ostree: Some(OstreeEntry {
            stateroot: deployment.stateroot.clone(),
            checksum: deployment.commit.to_string(),
            deploy_serial: deployment.serial,
        }),
        composefs: None,
    }
}

/// The image and its update, as far as its commit can be read.
fn entry_images(image: &ImageStatus) -> Option<(EntryImage, Option<EntryImage>)> {
    let reference: OstreeImageReference = image.reference.parse().ok()?;
    let named = HostImage::from(&reference);
    let update = image.update.as_ref().map(|update| Update {
        architecture: update.architecture.clone().or(image.architecture.clone()),
        ..update.clone()
    });
    let update = update.map(|update| EntryImage {
        image: named.clone(),
        version: update.version,
        timestamp: update.created,
        image_digest: update.digest,
        architecture: update.architecture.unwrap_or_default(),
    });
    let this = EntryImage {
        image: named,
        version: image.version.clone(),
        timestamp: image.created.clone(),
        image_digest: image.digest.clone()?,
        architecture: image.architecture.clone()?,
    };
    Some((this, update))
}

/// An overlay on the `/usr` of a root that is an image, which may be read-only.
pub(crate) fn overlay_of_root(read_only: bool) -> Option<UsrOverlayStatus> {
    overlay(match read_only {
        true => Unlocked::Transient,
        false => Unlocked::Development,
    })
}

fn overlay(unlocked: Unlocked) -> Option<UsrOverlayStatus> {
    let (access_mode, persistence) = match unlocked {
        Unlocked::None => return None,
        Unlocked::Development => ("readWrite", "transient"),
        Unlocked::Transient => ("readOnly", "transient"),
        Unlocked::Hotfix => ("readWrite", "persistent"),
    };
    Some(UsrOverlayStatus {
        access_mode,
        persistence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms in which bootc writes an image.
    #[test]
    fn images_are_named_as_bootc_names_them() {
        for (text, json) in [
            (
                "ostree-unverified-registry:quay.io/os/base:1",
                r#"{"image":"quay.io/os/base:1","transport":"registry"}"#,
            ),
            (
                "ostree-image-signed:oci:/srv/os",
                r#"{"image":"/srv/os","transport":"oci","signature":"containerPolicy"}"#,
            ),
            (
                "ostree-remote-image:fedora:docker://quay.io/os/base",
                r#"{"image":"quay.io/os/base","transport":"registry","signature":{"ostreeRemote":"fedora"}}"#,
            ),
        ] {
            let image: OstreeImageReference = text.parse().unwrap();
            let named = HostImage::from(&image);
            assert_eq!(serde_json::to_string(&named).unwrap(), json);
            let read: HostImage = serde_json::from_str(json).unwrap();
            assert_eq!(OstreeImageReference::try_from(&read).unwrap(), image);
        }
        let read: HostSpec = serde_json::from_str(
            r#"{"image":{"image":"x","transport":"oci","signature":"insecure"},"bootOrder":"rollback"}"#,
        )
        .unwrap();
        assert_eq!(read.boot_order, BootOrder::Rollback);
        let image = OstreeImageReference::try_from(read.required().unwrap().image).unwrap();
        assert_eq!(image.to_string(), "ostree-unverified-image:oci:x");
    }
}
