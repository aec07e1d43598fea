//! What is deployed.

use image::{cached_update, query_image_commit};
use ostree::Repo;
use ostree_format::Checksum;
use serde::Serialize;
use sysroot::{
    DamagedEntry, Deployment, LoadError, Problem, StagedData, StagedError, State, Sysroot, Unlocked,
};

use crate::text::text;

/// What is deployed (`docs/status.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    schema: &'static str,
    /// Whether this is the running system.
    pub running: bool,
    /// What becomes the first deployment when the system shuts down.
    pub staged: Option<Staged>,
    /// The deployments in the order in which the boot loader offers them.
    pub deployments: Vec<DeploymentStatus>,
    /// Boot entries that lead nowhere.
    pub damaged: Vec<DamagedStatus>,
}

/// What a deployment is to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It is running.
    Booted,
    /// It is first in boot order, and not running.
    Default,
    /// It is what a rollback returns to.
    Rollback,
    /// None of these.
    Other,
}

/// A deployment.
#[derive(Debug, Clone, Serialize)]
pub struct DeploymentStatus {
    /// What it is to the system.
    pub role: Role,
    /// Its stateroot.
    pub stateroot: String,
    /// The commit that is deployed.
    #[serde(serialize_with = "text")]
    pub commit: Checksum,
    /// Its number among deployments of that commit.
    pub serial: u32,
    /// The version that the image or the commit says it has.
    pub version: Option<String>,
    /// The image it came from.
    pub image: Option<ImageStatus>,
    /// The ref it follows, when it came from no image.
    pub refspec: Option<String>,
    /// Whether clean-ups keep it.
    pub pinned: bool,
    /// Whether it was made writable.
    pub unlocked: Unlocked,
    /// The checksum of its kernel and initramfs.
    pub boot_checksum: String,
    /// The file of its boot entry, in `boot/loader/entries`.
    pub boot_entry: Option<String>,
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
pub struct DamagedStatus {
    /// The entry's file, in `boot/loader/entries`.
    pub boot_entry: String,
    /// What is wrong, and what helps.
    #[serde(flatten)]
    pub damage: Fixable,
}

/// A deployment that is finished when the system shuts down.
#[derive(Debug, Clone, Serialize)]
pub struct Staged {
    /// Its stateroot.
    pub stateroot: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// Its number among deployments of that commit.
    pub serial: Option<u32>,
    /// Whether it waits for a release before it is finished.
    pub locked: bool,
    /// What is wrong with it.
    pub problems: Vec<Fixable>,
}

/// Tells what is deployed. What is damaged is part of the answer.
///
/// # Errors
/// [`LoadError`] when it cannot even be told which boot entries are active.
pub fn status(sysroot: &Sysroot) -> Result<Status, LoadError> {
    let state = sysroot.load()?;
    let deployments = state.deployments.iter().enumerate();
    let described = |(index, deployment)| describe(sysroot.repo(), role(&state, index), deployment);
    Ok(Status {
        schema: "bootroot.status/1",
        running: sysroot.is_running(),
        staged: state.staged.as_ref().map(staged),
        deployments: deployments.map(described).collect(),
        damaged: state.damaged.iter().map(damaged).collect(),
    })
}

fn role(state: &State, index: usize) -> Role {
    match state.booted {
        Some(booted) if booted == index => Role::Booted,
        Some(booted) if index == rollback_of(state, booted) => Role::Rollback,
        _ if index == 0 => Role::Default,
        _ => Role::Other,
    }
}

/// The next deployment of the same stateroot behind the running one.
fn rollback_of(state: &State, booted: usize) -> usize {
    let stateroot = |index: usize| {
        state
            .deployments
            .get(index)
            .map(|deployment| &deployment.id.stateroot)
    };
    let behind = booted + 1..state.deployments.len();
    behind
        .clone()
        .find(|index| stateroot(*index) == stateroot(booted))
        .unwrap_or(behind.end)
}

fn describe(repo: &Repo, role: Role, deployment: &Deployment) -> DeploymentStatus {
    let id = &deployment.id;
    let origin = deployment.origin.as_ref();
    let reference = origin.and_then(sysroot::Origin::image_reference);
    let (image, image_version) = reference.map_or((None, None), |reference| {
        image_of(repo, reference, &id.commit)
    });
    DeploymentStatus {
        role,
        stateroot: id.stateroot.to_string(),
        commit: id.commit,
        serial: id.serial,
        version: image_version.or_else(|| version_of(repo, &id.commit)),
        refspec: origin
            .filter(|_| image.is_none())
            .and_then(sysroot::Origin::refspec),
        image,
        pinned: deployment.is_pinned(),
        unlocked: deployment.unlocked,
        boot_checksum: deployment.boot_checksum.to_string(),
        boot_entry: deployment.entry_file.clone(),
        kernel_arguments: deployment
            .kernel_args()
            .without_ostree()
            .iter()
            .map(ToString::to_string)
            .collect(),
        problems: deployment.problems.iter().map(problem).collect(),
    }
}

/// What is known of an image, as far as its commit can be read, and its version.
fn image_of(
    repo: &Repo,
    reference: String,
    commit: &Checksum,
) -> (Option<ImageStatus>, Option<String>) {
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
    (Some(image), version)
}

fn version_of(repo: &Repo, commit: &Checksum) -> Option<String> {
    let commit = repo.load_commit(commit).ok()?;
    commit.metadata.get_str("version").map(str::to_owned)
}

fn problem(problem: &Problem) -> Fixable {
    let fix = match problem {
        Problem::Origin { .. } => "deploy the image again to give it a new origin",
        Problem::MissingBootFile { .. } => {
            "deploy it again, which installs its kernel anew; boot another until then"
        }
        Problem::MissingCommit => "pull the image again",
        _ => "deploy the image again",
    };
    Fixable {
        problem: problem.to_string(),
        fix,
    }
}

fn damaged(entry: &DamagedEntry) -> DamagedStatus {
    DamagedStatus {
        boot_entry: entry.file.clone(),
        damage: Fixable {
            problem: entry.damage.to_string(),
            fix: "the next deployment writes all boot entries anew, without this one",
        },
    }
}

fn staged(staged: &Result<StagedData, StagedError>) -> Staged {
    match staged {
        Ok(data) => Staged {
            stateroot: Some(data.target.0.stateroot.to_string()),
            commit: Some(data.target.0.commit.to_string()),
            serial: Some(data.target.0.serial),
            locked: data.locked,
            problems: Vec::new(),
        },
        Err(error) => Staged {
            stateroot: None,
            commit: None,
            serial: None,
            locked: false,
            problems: vec![Fixable {
                problem: error.to_string(),
                fix: "it is dropped at shutdown; stage it again",
            }],
        },
    }
}
