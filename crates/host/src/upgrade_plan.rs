//! What an upgrade would do, from manifest and config alone, and from the tree as far as it is stored already.

use error_class::{Classified as _, ErrorClass};
use image::{ImportPlan, LINUX_LABEL, LayeredImageState, label_of};
use ostree::{PruneOptions, ReadError, Repo};
use ostree_format::Checksum;
use progress::Interrupt;
use rustix::fs::{AtFlags, OFlags};
use serde::Serialize;
use sysroot::{DeployPlan, Deployment, Retain, SpacePlan, State, Sysroot};

use crate::packages::{PackageChanges, components, packages};
use crate::space::{FileSystemPlan, USUAL_RATIO, Unpacked, unpacked};
use crate::{ArgumentChanges, ChangeError, LayerCount};

/// Where kernels are.
const MODULES: &str = "usr/lib/modules";

/// What an upgrade does, as far as that is known before anything is fetched.
#[derive(Debug, Clone, Serialize)]
pub struct UpgradePlan {
    /// The digest of the manifest that is deployed afterwards.
    pub digest: String,
    /// The version that the image says it has.
    pub version: Option<String>,
    /// The digest that was deployed until now.
    pub current_digest: Option<String>,
    /// The version that was deployed until now.
    pub current_version: Option<String>,
    /// The layers, and how many of them have to be fetched.
    pub layers: LayerCount,
    /// Compressed bytes that have to be fetched.
    pub bytes_to_fetch: u64,
    /// What is new on each file system.
    pub space: Vec<FileSystemPlan>,
    /// The version of the kernel until now.
    pub current_kernel: Option<String>,
    /// The version of the kernel afterwards; unknown when the image does not say it and is not stored.
    pub kernel: Option<String>,
    /// How kernel arguments change; unknown until the image is stored.
    pub kernel_arguments: Option<ArgumentChanges>,
    /// Which packages change; without versions where only the manifest tells, unknown where nothing does.
    pub packages: Option<PackageChanges>,
    /// Deployments that no longer boot and are removed, as `STATEROOT COMMIT.SERIAL`.
    pub removed: Vec<String>,
    /// Whether the image is stored, so that nothing about it is unknown or an estimate.
    pub stored: bool,
}

/// What is deployed until now.
struct Current {
    /// Nothing where it is no image.
    image: Option<LayeredImageState>,
    kernel: Option<String>,
}

impl Current {
    fn of(repo: &Repo, deployed: &Deployment) -> Result<Self, ReadError> {
        let commit = &deployed.id.commit;
        Ok(Self {
            image: image::query_image_commit(repo, commit).ok(),
            kernel: kernel_of(repo, commit)?,
        })
    }

    fn digest(&self) -> Option<String> {
        let image = self.image.as_ref()?;
        Some(image.manifest_digest.to_string())
    }

    fn version(&self) -> Option<String> {
        self.image.as_ref()?.version().map(str::to_owned)
    }
}

impl UpgradePlan {
    /// What is known of an image that is not stored.
    pub(crate) fn before_fetch(
        sysroot: &Sysroot,
        state: &State,
        merge: &Deployment,
        plan: &ImportPlan,
    ) -> Result<Self, ChangeError> {
        let repo = sysroot.repo();
        let current = Current::of(repo, merge)?;
        let layers = plan.manifest.layers();
        let fetched = plan.to_fetch().filter_map(|(index, _)| layers.get(index));
        let root = unpacked(fetched, || ratio(repo, current.image.as_ref()));
        let like_before = sysroot
            .space_like(merge)
            .map_err(sysroot::DeployError::from)?;
        let old = current.image.as_ref().map(|state| state.manifest.layers());
        let old = old.and_then(|layers| components(layers));
        let new = components(plan.manifest.manifest().layers());
        let packages = old.zip(new);
        Ok(Self {
            digest: plan.manifest.digest().to_string(),
            version: plan.version().map(str::to_owned),
            current_digest: current.digest(),
            current_version: current.version(),
            layers: LayerCount {
                total: layers.len(),
                fetched: plan.to_fetch().count(),
                local: None,
            },
            bytes_to_fetch: plan.bytes_to_fetch(),
            space: file_systems(sysroot, root, like_before, true)?,
            current_kernel: current.kernel,
            kernel: label_of(plan.config.config(), LINUX_LABEL).map(str::to_owned),
            kernel_arguments: None,
            packages: packages.map(|(old, new)| PackageChanges::between(&old, &new)),
            removed: removed(state, merge),
            stored: false,
        })
    }

    /// What is known of an image that is stored.
    pub(crate) fn of_stored(
        sysroot: &Sysroot,
        merge: &Deployment,
        plan: &DeployPlan,
        stored: &LayeredImageState,
    ) -> Result<Self, ChangeError> {
        let repo = sysroot.repo();
        let current = Current::of(repo, merge)?;
        let (old, new) = (
            packages(repo, &merge.id.commit)?,
            packages(repo, &plan.deployment.commit)?,
        );
        let args = |args: &boot_format::KernelArgs| args.without_ostree().to_strings();
        let root = Unpacked {
            likely: plan.space.root_needed,
            at_least: plan.space.root_needed,
            estimate: false,
        };
        Ok(Self {
            digest: stored.manifest_digest.to_string(),
            version: stored.version().map(str::to_owned),
            current_digest: current.digest(),
            current_version: current.version(),
            layers: LayerCount {
                total: stored.manifest.layers().len(),
                fetched: 0,
                local: None,
            },
            bytes_to_fetch: 0,
            space: file_systems(sysroot, root, plan.space, false)?,
            current_kernel: current.kernel,
            kernel: plan.kernel.version.clone(),
            kernel_arguments: Some(ArgumentChanges::between(
                &args(&merge.kernel_args()),
                &args(&plan.kernel_args),
            )),
            packages: old
                .zip(new)
                .map(|(old, new)| PackageChanges::between(&old, &new)),
            removed: plan.dropped.iter().map(ToString::to_string).collect(),
            stored: true,
        })
    }
}

fn removed(state: &State, merge: &Deployment) -> Vec<String> {
    let dropped = state.dropped_by(&merge.id.stateroot, Some(&merge.id), Retain::default());
    dropped.iter().map(ToString::to_string).collect()
}

/// How much larger the image before is unpacked than packed.
fn ratio(repo: &Repo, current: Option<&LayeredImageState>) -> u64 {
    let measured = current.and_then(|state| {
        let packed: u64 = state
            .manifest
            .layers()
            .iter()
            .map(oci::spec::Descriptor::size)
            .sum();
        let commit = repo.load_commit(&state.merge_commit).ok()?;
        let bytes = bytes_below(repo, &commit.contents).ok()?;
        bytes.checked_div(packed)
    });
    measured.map_or(USUAL_RATIO, |ratio| ratio.clamp(1, 20))
}

fn bytes_below(repo: &Repo, contents: &Checksum) -> Result<u64, ReadError> {
    let tree = repo.load_dirtree(contents)?;
    let mut bytes = 0_u64;
    for (_, file) in &tree.files {
        bytes = bytes.saturating_add(repo.open_file(file)?.size);
    }
    for entry in &tree.dirs {
        bytes = bytes.saturating_add(bytes_below(repo, &entry.contents)?);
    }
    Ok(bytes)
}

/// Root, `/boot`, and the EFI system partition where it is one of its own: nothing is written there.
fn file_systems(
    sysroot: &Sysroot,
    root: Unpacked,
    deployment: SpacePlan,
    estimate: bool,
) -> Result<Vec<FileSystemPlan>, ChangeError> {
    // Some of what is free is kept by the repository.
    let available = sysroot.repo().space_left();
    let mut places = vec![
        root.on("/", available.unwrap_or(deployment.root_available)),
        FileSystemPlan {
            place: "/boot",
            needed: deployment.boot_needed,
            at_least: if estimate { 0 } else { deployment.boot_needed },
            available: deployment
                .boot_available
                .saturating_add(deployment.boot_freed),
            estimate: estimate && deployment.boot_needed > 0,
        },
    ];
    for (path, place) in [("boot/efi", "/boot/efi"), ("efi", "/efi")] {
        if let Some(available) = own_file_system(sysroot, path) {
            places.push(FileSystemPlan {
                place,
                needed: 0,
                at_least: 0,
                available,
                estimate: false,
            });
        }
    }
    Ok(places)
}

/// What is free at `path`, when that is another file system than what is above it.
fn own_file_system(sysroot: &Sysroot, path: &str) -> Option<u64> {
    let device = |path: &str| {
        let stat = rustix::fs::statat(sysroot.dir(), path, AtFlags::empty()).ok()?;
        Some(stat.st_dev)
    };
    let above = path.rsplit_once('/').map_or(".", |(above, _)| above);
    if device(path)? == device(above)? {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(sysroot.dir(), path, flags, rustix::fs::Mode::empty()).ok()?;
    let stat = rustix::fs::fstatvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The version of a commit's kernel: the last directory that has one.
fn kernel_of(repo: &Repo, commit: &Checksum) -> Result<Option<String>, ReadError> {
    let modules = match repo.subtree(commit, MODULES) {
        Ok(modules) => modules,
        // A commit that is gone tells nothing.
        Err(error) if error.class() == ErrorClass::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((contents, _)) = modules else {
        return Ok(None);
    };
    let mut found = None;
    for entry in &repo.load_dirtree(&contents)?.dirs {
        let tree = repo.load_dirtree(&entry.contents)?;
        if tree.files.iter().any(|(name, _)| name == "vmlinuz") {
            found = Some(entry.name.clone());
        }
    }
    Ok(found)
}

/// What could be removed to make space, as commands.
pub(crate) fn what_frees_space(sysroot: &Sysroot, state: &State) -> Vec<String> {
    let unreachable = PruneOptions::without_ancestors();
    let interrupt = Interrupt::default();
    let unreachable = sysroot.repo().plan_prune(&unreachable, &interrupt);
    let bytes = unreachable.map_or(0, |plan| plan.stats().bytes);
    let mut commands = Vec::new();
    if bytes > 0 {
        commands.push(format!("`bootroot cleanup` ({bytes} bytes)"));
    }
    commands.push("`bootroot image prune`".to_owned());
    let first = state.booted().or(state.deployments.first());
    for (index, listed) in state.listed().iter().enumerate() {
        if Some(listed.id()) != first.map(|first| &first.id) {
            commands.push(format!("`bootroot undeploy {index}` ({})", listed.id()));
        }
    }
    commands
}
