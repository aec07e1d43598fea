//! Whether a stored image is whole, layer by layer, and mending it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use error_class::{Classified, ErrorClass};
use oci::digest::Digest;
use oci::reference::ImageReference;
use oci::source::{Error as SourceError, ImageSource};
use ostree::{Expect, ReadError, Repo, TransactionOptions, WriteError};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, ObjectKind, ObjectName};
use progress::{Interrupt, Interrupted, Progress, Task, TaskKind};

use crate::plan::{PlanError, plan_anew};
use crate::query::{LayeredImageState, QueryError, query_image};
use crate::refs::{RefNameError, ref_for_digest};
use crate::{ImportError, ImportOptions, Imported};

/// What was found about a stored image.
#[derive(Debug, Clone)]
pub struct ImageCheck {
    /// Its layers, lowest first.
    pub layers: Vec<LayerCheck>,
    /// What is wrong with the tree that all layers give together, and with no layer.
    pub merged: Vec<String>,
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Objects that are there and damaged.
    pub damaged: BTreeSet<ObjectName>,
}

/// What was found about a layer.
#[derive(Debug, Clone)]
pub struct LayerCheck {
    /// The digest of the blob.
    pub digest: Digest,
    /// What is wrong, if anything is.
    pub problems: Vec<String>,
}

impl ImageCheck {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.merged.is_empty() && self.layers.iter().all(|layer| layer.problems.is_empty())
    }
}

/// Why an image could not be checked or mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The image cannot be described.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A digest cannot be a name.
    #[error(transparent)]
    Name(#[from] RefNameError),
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The source has another image by now.
    #[error("{image} is {found} by now, not {stored}; pull it, which brings the new one")]
    OtherImage {
        /// The image.
        image: ImageReference,
        /// What is stored.
        stored: Digest,
        /// What the source has.
        found: Digest,
    },
    /// There is no plan for what is missing.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What is missing could not be fetched.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The repository cannot be written to.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Classified for CheckError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Query(error) => error.class(),
            Self::Name(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::OtherImage { .. } => ErrorClass::NotFound,
            Self::Plan(error) => error.class(),
            Self::Import(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Interrupted(error) => error.class(),
        }
    }
}

/// Read and hash every object of a stored image.
///
/// # Errors
/// [`CheckError`]; damage is no error, it is in what is returned.
pub fn check_image(
    repo: &Repo,
    image: &ImageReference,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<ImageCheck, CheckError> {
    let state = query_image(repo, image)?.ok_or_else(|| QueryError::NotStored(image.clone()))?;
    let task = Task::begin(progress, TaskKind::Fsck, None);
    let mut checker = Checker {
        repo,
        interrupt,
        task: &task,
        verdicts: HashMap::new(),
        buffer: vec![0; 256 * 1024],
    };
    let mut layers = Vec::new();
    for digest in state.layer_digests()? {
        let problems = checker.layer(&digest)?;
        layers.push(LayerCheck { digest, problems });
    }
    let reported: BTreeSet<String> = layers
        .iter()
        .flat_map(|layer| layer.problems.iter().cloned())
        .collect();
    let mut merged = checker.commit(&state.merge_commit)?;
    merged.retain(|problem| !reported.contains(problem));
    let verdicts = checker.verdicts;
    task.done();
    Ok(ImageCheck {
        layers,
        merged,
        objects: verdicts.len() as u64,
        damaged: damaged(verdicts),
    })
}

/// What is there and bad; what is not there cannot be removed.
fn damaged(verdicts: HashMap<ObjectName, Verdict>) -> BTreeSet<ObjectName> {
    let bad = verdicts
        .into_iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Damaged(_)));
    bad.map(|(name, _)| name).collect()
}

#[derive(Debug, Clone)]
enum Verdict {
    Good,
    Missing,
    Damaged(String),
}

struct Checker<'a> {
    repo: &'a Repo,
    interrupt: &'a Interrupt,
    task: &'a Task<'a>,
    verdicts: HashMap<ObjectName, Verdict>,
    buffer: Vec<u8>,
}

impl Checker<'_> {
    fn layer(&mut self, digest: &Digest) -> Result<Vec<String>, CheckError> {
        let name = Refspec::local(ref_for_digest(digest)?);
        match self.repo.read_ref(&name).map_err(QueryError::from)? {
            Some(commit) => self.commit(&commit),
            None => Ok(vec!["its ref is missing".to_owned()]),
        }
    }

    fn commit(&mut self, commit: &Checksum) -> Result<Vec<String>, CheckError> {
        let mut problems = Vec::new();
        if self.object(ObjectName::new(*commit, ObjectKind::Commit), &mut problems)? {
            let commit = self.repo.load_commit(commit)?;
            self.object(
                ObjectName::new(commit.meta, ObjectKind::DirMeta),
                &mut problems,
            )?;
            self.tree(&commit.contents, &mut BTreeMap::new(), &mut problems)?;
        }
        Ok(problems)
    }

    fn tree(
        &mut self,
        contents: &Checksum,
        walked: &mut BTreeMap<Checksum, ()>,
        problems: &mut Vec<String>,
    ) -> Result<(), CheckError> {
        let name = ObjectName::new(*contents, ObjectKind::DirTree);
        if walked.insert(*contents, ()).is_some() || !self.object(name, problems)? {
            return Ok(());
        }
        let tree = self.repo.load_dirtree(contents)?;
        for (_, file) in &tree.files {
            self.object(ObjectName::new(*file, ObjectKind::File), problems)?;
        }
        for dir in &tree.dirs {
            self.object(ObjectName::new(dir.meta, ObjectKind::DirMeta), problems)?;
            self.tree(&dir.contents, walked, problems)?;
        }
        Ok(())
    }

    /// Whether the object is there and good; each is read once.
    fn object(&mut self, name: ObjectName, problems: &mut Vec<String>) -> Result<bool, CheckError> {
        let verdict = match self.verdicts.get(&name) {
            Some(verdict) => verdict.clone(),
            None => self.verify(name)?,
        };
        match verdict {
            Verdict::Good => return Ok(true),
            Verdict::Missing => problems.push(format!("object {name} is missing")),
            Verdict::Damaged(reason) => problems.push(reason),
        }
        Ok(false)
    }

    fn verify(&mut self, name: ObjectName) -> Result<Verdict, CheckError> {
        self.interrupt.check()?;
        let verdict = match self.repo.verify_object(&name, &mut self.buffer) {
            Ok(()) => Verdict::Good,
            Err(ReadError::Missing(missing)) if missing == name => Verdict::Missing,
            Err(error) if error.class() == ErrorClass::Corrupt => {
                Verdict::Damaged(error.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        self.task.advance(1);
        self.verdicts.insert(name, verdict.clone());
        Ok(verdict)
    }
}

/// Bring back what `check` found missing or damaged, from `source`, which must still have the very image.
///
/// # Errors
/// [`CheckError`]. Damaged objects are gone then; what is missing is found again by the next check.
pub fn repair_image(
    repo: &Repo,
    image: &ImageReference,
    check: &ImageCheck,
    source: &dyn ImageSource,
    options: &ImportOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Imported, CheckError> {
    let state = query_image(repo, image)?.ok_or_else(|| QueryError::NotStored(image.clone()))?;
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    if *manifest.digest() != state.manifest_digest {
        return Err(CheckError::OtherImage {
            image: image.clone(),
            stored: state.manifest_digest,
            found: manifest.digest().clone(),
        });
    }
    let config = source.config(&manifest).map_err(Box::new)?;
    forget(repo, &state, check)?;
    let plan = plan_anew(repo, source, image, manifest, config)?;
    Ok(plan.import(repo, source, options, progress, interrupt)?)
}

/// Remove damaged objects, and the refs of layers that lack something: what is not there is fetched, what
/// is there is believed.
fn forget(repo: &Repo, state: &LayeredImageState, check: &ImageCheck) -> Result<(), CheckError> {
    let txn = repo.begin(TransactionOptions::default())?;
    for layer in check
        .layers
        .iter()
        .filter(|layer| !layer.problems.is_empty())
    {
        let name = Refspec::local(ref_for_digest(&layer.digest)?);
        txn.set_ref(name, Expect::Any, None);
    }
    txn.commit(&progress::Silent, &Interrupt::default())?;
    let merge = ObjectName::new(state.merge_commit, ObjectKind::Commit);
    for name in check.damaged.iter().filter(|name| **name != merge) {
        repo.remove_damaged(name)?;
    }
    Ok(())
}
