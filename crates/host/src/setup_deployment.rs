//! Mounting the root of a deployment of OSTree in an initramfs; where that is wanted, only what somebody has signed whose
//! key the initramfs has.

use std::os::fd::BorrowedFd;
use std::path::Path;

use ::image::META_CONFIG;
use boot_format::KernelArgs;
use composefs_format::Digest;
use composefs_root::{MountError, Notice, SetupDeployment, SetupPlaces, setup_deployment};
use error_class::{Classified, ErrorClass};
use ostree::{COMPOSEFS_DIGEST_KEY, OpenError, ReadError, Repo};
use ostree_format::gvariant::Value;
use ostree_format::{Checksum, Commit, FormatError, Metadata};
use signature::{KeyError, Scheme, Verifier, VerifyError, detached};
use sysroot::{BootArgumentError, Composefs, RootConfig, RootConfigError, deployment_of_argument};
use trust::commit_bytes;

/// What the kernel's command line may say in place of the configuration.
const COMPOSEFS_ARGUMENT: &str = "ostree.prepare-root.composefs";

/// Largest file with keys that is read.
const MAX_KEYS: u64 = 1024 * 1024;

/// Why the root of a deployment was not mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupDeploymentError {
    /// It is not known which deployment.
    #[error(transparent)]
    Argument(#[from] BootArgumentError),
    /// It is not known how.
    #[error(transparent)]
    Config(#[from] RootConfigError),
    /// It is no image.
    #[error(
        "prepare-root.conf of the initramfs does not say composefs.enabled: ostree-prepare-root mounts such roots"
    )]
    NoComposefs,
    /// Nobody's signature could count.
    #[error(
        "roots have to be signed, and the initramfs has no {0} with the keys of those who may sign"
    )]
    NoKeys(String),
    /// The keys cannot be used.
    #[error("the keys in {path} of the initramfs cannot be used")]
    Keys {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// Nobody has signed the deployment.
    #[error("the root has to be signed, and commit {0} has no signature; boot another entry")]
    Unsigned(Checksum),
    /// Nobody who may has signed it.
    #[error(
        "the root has to be signed, and nobody whose key is in {path} has signed commit {commit}; boot another entry"
    )]
    Untrusted {
        /// The commit.
        commit: Checksum,
        /// The file with the keys.
        path: String,
        /// Why no signature counts.
        #[source]
        source: VerifyError,
    },
    /// The commit is signed, but says nothing of its image.
    #[error(
        "commit {0} is signed, but does not have the digest of its image (ostree.composefs.digest.v0); boot another entry"
    )]
    NoDigest(Checksum),
    /// The repository cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The commit cannot be understood.
    #[error("commit {commit} is damaged")]
    Damaged {
        /// The commit.
        commit: Checksum,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// The mounts failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for SetupDeploymentError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Argument(error) => error.class(),
            Self::Config(error) => error.class(),
            Self::NoComposefs => ErrorClass::Unsupported,
            Self::NoKeys(_) => ErrorClass::NotFound,
            Self::Keys { source, .. } => source.class(),
            Self::Unsigned(_) | Self::Untrusted { .. } | Self::NoDigest(_) => ErrorClass::Untrusted,
            Self::Open(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::Mount(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// Mount the root that the value of `ostree=` names, as the configuration in `initramfs` says, where the keys are, too.
///
/// # Errors
/// [`SetupDeploymentError`]; nothing is mounted when the root is not to be trusted.
pub fn mount_deployment(
    places: SetupPlaces<'_>,
    initramfs: BorrowedFd<'_>,
    link: &str,
    args: &KernelArgs,
) -> Result<Vec<Notice>, SetupDeploymentError> {
    let config = RootConfig::read(initramfs, args.last_value(COMPOSEFS_ARGUMENT))?;
    let deployment = deployment_of_argument(places.physical, link)?;
    let digest = match config.composefs {
        Composefs::No | Composefs::Maybe => return Err(SetupDeploymentError::NoComposefs),
        Composefs::Yes | Composefs::Verity => None,
        Composefs::Signed => {
            let keys = read_keys(initramfs, &config.keypath)?;
            let repo = Repo::open_at(places.physical, Path::new("ostree/repo"))?;
            let signed = signed_commit(&repo, deployment.commit)?;
            Some(signed_digest(&repo, signed, &keys, &config.keypath)?)
        }
    };
    Ok(setup_deployment(&SetupDeployment {
        places,
        deployment: &deployment,
        config: &config,
        digest,
    })?)
}

/// The keys that count, one in each line.
fn read_keys(initramfs: BorrowedFd<'_>, path: &str) -> Result<Verifier, SetupDeploymentError> {
    let inside = Path::new(path.trim_start_matches('/'));
    let text = durable::read_optional(initramfs, inside, MAX_KEYS)?;
    let text = text.ok_or_else(|| SetupDeploymentError::NoKeys(path.to_owned()))?;
    let failed = |source| SetupDeploymentError::Keys {
        path: path.to_owned(),
        source,
    };
    let mut keys = Verifier::new(Scheme::Ed25519).map_err(failed)?;
    keys.trust_file(&String::from_utf8_lossy(&text))
        .map_err(failed)?;
    Ok(keys)
}

/// The commit whose signature counts. The one that an image was stored as is made on this machine, and nobody signs it:
/// then it is the commit in the image.
fn signed_commit(repo: &Repo, deployed: Checksum) -> Result<Checksum, SetupDeploymentError> {
    if signatures_of(repo, &deployed)?.is_some() {
        return Ok(deployed);
    }
    let commit = repo.load_commit(&deployed)?;
    let is_image = commit.metadata.get(META_CONFIG).is_some();
    Ok(commit.parent.filter(|_| is_image).unwrap_or(deployed))
}

/// The detached metadata of a commit, when it has signatures.
fn signatures_of(repo: &Repo, commit: &Checksum) -> Result<Option<Metadata>, ReadError> {
    let is_signed = |metadata: &Metadata| {
        detached::list(metadata, Scheme::Ed25519).is_ok_and(|found| !found.is_empty())
    };
    Ok(repo.load_detached_metadata(commit)?.filter(is_signed))
}

/// The digest of the image in a commit that somebody trusted has signed.
fn signed_digest(
    repo: &Repo,
    commit: Checksum,
    keys: &Verifier,
    path: &str,
) -> Result<Digest, SetupDeploymentError> {
    let signatures = signatures_of(repo, &commit)?;
    let signatures = signatures.ok_or(SetupDeploymentError::Unsigned(commit))?;
    let bytes = commit_bytes(repo, &commit)?;
    let verified = keys.verify(&bytes, &signatures);
    verified.map_err(|source| SetupDeploymentError::Untrusted {
        commit,
        path: path.to_owned(),
        source,
    })?;
    let parsed = Commit::from_bytes(&bytes);
    let parsed = parsed.map_err(|source| SetupDeploymentError::Damaged { commit, source })?;
    let digest = match parsed.metadata.get(COMPOSEFS_DIGEST_KEY) {
        Some(Value::Bytes(digest)) => <[u8; 32]>::try_from(&**digest).ok(),
        _ => None,
    };
    let digest = digest.ok_or(SetupDeploymentError::NoDigest(commit))?;
    Ok(Digest::Sha256(digest))
}
