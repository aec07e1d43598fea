//! What stays of stored images and what goes, and why: one rule for images, base images and layers.
//!
//! An image stays while a deployment uses it; a base image while it is the parent of a deployment, or
//! belongs to another program; a layer while an image, a base image or a deployment has it, or while it
//! was fetched for an update that is not complete. What is not known to be unneeded stays.

use std::collections::BTreeMap;

use ostree::{Expect, Repo, TransactionOptions};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Silent};

use crate::ImportError;
use crate::cached_update::cached_update;
use crate::collect::alone;
use crate::keys::{
    BASE_IMAGE_PREFIX, DEPLOYMENT_PREFIXES, IMAGE_PREFIX, LAYER_PREFIX, META_MANIFEST_DIGEST,
};
use crate::list::refs_below;
use crate::query::{QueryError, manifest_of};
use crate::refs::unescape;

/// Base images that bootc made for deployments, and removes with them.
const OWN_BASE_IMAGES: &str = "bootc/";

/// What deployments use. Whoever knows of deployments says it.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Commits that are deployed, staged or pinned, each with who has it.
    pub commits: BTreeMap<Checksum, String>,
    /// Images by the names that origins give them, each with whose.
    pub images: BTreeMap<String, String>,
}

/// Something that stays or goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fate {
    /// What it is called: an image reference, the rest of a ref, or a digest.
    pub name: String,
    /// Whether it stays.
    pub stays: bool,
    /// Why.
    pub reason: String,
}

/// What a collection would do. It stays right as long as nothing else writes.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct CollectionPlan {
    /// Images, by name.
    pub images: Vec<Fate>,
    /// Base images that commits are derived from, by the rest of their refs.
    pub base_images: Vec<Fate>,
    /// Layers, by digest.
    pub layers: Vec<Fate>,
    /// Refs that go.
    #[serde(skip)]
    pub(crate) refs: Vec<Refspec>,
}

impl CollectionPlan {
    /// Find out what would stay and what would go. Without `usage` all images stay: nobody knows who
    /// uses them. While a pull is running, no layer goes.
    ///
    /// # Errors
    /// [`ImportError`] when something that may name layers cannot be read.
    pub fn new(repo: &Repo, usage: Option<&Usage>) -> Result<Self, ImportError> {
        let pulling = alone(repo)?.is_none();
        Self::of(repo, usage, pulling)
    }

    fn of(repo: &Repo, usage: Option<&Usage>, pulling: bool) -> Result<Self, ImportError> {
        let mut plan = Self::default();
        let mut needed = Needed::default();
        for prefix in DEPLOYMENT_PREFIXES {
            for (name, commit) in refs_below(repo, prefix)? {
                needed.by_commit(repo, &commit, &format!("deployment {prefix}/{name}"))?;
            }
        }
        for (commit, who) in usage.map(|usage| &usage.commits).into_iter().flatten() {
            needed.by_commit_if_there(repo, commit, who)?;
        }
        plan.plan_images(repo, usage, &mut needed)?;
        plan.plan_base_images(repo, usage, &mut needed)?;
        plan.plan_layers(repo, &needed, pulling)?;
        Ok(plan)
    }

    /// Whether anything goes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// Plan and remove what goes, with no pull in between. Objects go with the next prune of the
    /// repository.
    ///
    /// # Errors
    /// [`ImportError`]; all refs are as before then.
    pub fn carry_out(repo: &Repo, usage: Option<&Usage>) -> Result<Self, ImportError> {
        let lock = alone(repo)?;
        let plan = Self::of(repo, usage, lock.is_none())?;
        plan.apply(repo)?;
        Ok(plan)
    }

    fn apply(&self, repo: &Repo) -> Result<(), ImportError> {
        let txn = repo.begin(TransactionOptions::default())?;
        for name in &self.refs {
            txn.set_ref(name.clone(), Expect::Any, None);
        }
        txn.commit(&Silent, &Interrupt::default())?;
        Ok(())
    }

    fn plan_images(
        &mut self,
        repo: &Repo,
        usage: Option<&Usage>,
        needed: &mut Needed,
    ) -> Result<(), ImportError> {
        for (name, commit) in refs_below(repo, IMAGE_PREFIX)? {
            let image = unescape(&name).unwrap_or_else(|| name.clone());
            let (stays, reason) = match usage {
                None => (
                    true,
                    "it has a name, and no system says which are used".to_owned(),
                ),
                Some(usage) => match usage.images.get(&image).or(usage.commits.get(&commit)) {
                    Some(who) => (true, format!("{who} uses it")),
                    None => (false, "no deployment uses it".to_owned()),
                },
            };
            if stays {
                needed.by_image(repo, &commit, &image)?;
            } else {
                self.forget(IMAGE_PREFIX, &name);
            }
            self.images.push(Fate {
                name: image,
                stays,
                reason,
            });
        }
        Ok(())
    }

    fn plan_base_images(
        &mut self,
        repo: &Repo,
        usage: Option<&Usage>,
        needed: &mut Needed,
    ) -> Result<(), ImportError> {
        let parents = usage.map(|usage| parents_of(repo, usage)).transpose()?;
        for (name, commit) in refs_below(repo, BASE_IMAGE_PREFIX)? {
            let (stays, reason) = match &parents {
                _ if !name.starts_with(OWN_BASE_IMAGES) => {
                    (true, "it belongs to another program".to_owned())
                }
                None => (true, "no system says whether it is used".to_owned()),
                Some(parents) => match parents.get(&commit) {
                    Some(who) => (true, format!("{who} is derived from it")),
                    None => (false, "no deployment is derived from it".to_owned()),
                },
            };
            if stays {
                needed.by_commit(repo, &commit, &format!("base image {name}"))?;
            } else {
                self.forget(BASE_IMAGE_PREFIX, &name);
            }
            self.base_images.push(Fate {
                name,
                stays,
                reason,
            });
        }
        Ok(())
    }

    fn plan_layers(
        &mut self,
        repo: &Repo,
        needed: &Needed,
        pulling: bool,
    ) -> Result<(), ImportError> {
        for (name, _) in refs_below(repo, LAYER_PREFIX)? {
            // Whatever is no digest was made by somebody else.
            let Some(digest) = unescape(&name) else {
                continue;
            };
            let (stays, reason) = match needed.0.get(&digest) {
                Some(who) => (true, format!("{who} has it")),
                None if pulling => (true, "a pull is running, which may need it".to_owned()),
                None => (false, "nothing has it".to_owned()),
            };
            if !stays {
                self.forget(LAYER_PREFIX, &name);
            }
            self.layers.push(Fate {
                name: digest,
                stays,
                reason,
            });
        }
        Ok(())
    }

    fn forget(&mut self, prefix: &str, name: &str) {
        if let Ok(name) = format!("{prefix}/{name}").parse() {
            self.refs.push(Refspec::local(name));
        }
    }
}

/// Layers that something needs, each with the first that does.
#[derive(Default)]
struct Needed(BTreeMap<String, String>);

impl Needed {
    fn by_commit(&mut self, repo: &Repo, checksum: &Checksum, who: &str) -> Result<(), QueryError> {
        let commit = repo.load_commit(checksum)?;
        if commit.metadata.get(META_MANIFEST_DIGEST).is_some() {
            let (_, manifest) = manifest_of(checksum, &commit)?;
            self.add(&manifest, who);
        }
        Ok(())
    }

    /// A deployment whose commit is lost has no layers to keep.
    fn by_commit_if_there(
        &mut self,
        repo: &Repo,
        checksum: &Checksum,
        who: &str,
    ) -> Result<(), QueryError> {
        match self.by_commit(repo, checksum, who) {
            Err(QueryError::Read(ostree::ReadError::Missing(_))) => Ok(()),
            other => other,
        }
    }

    fn by_image(&mut self, repo: &Repo, commit: &Checksum, image: &str) -> Result<(), QueryError> {
        self.by_commit(repo, commit, &format!("image {image}"))?;
        if let Some(update) = cached_update(repo, commit)? {
            self.add(&update.manifest, &format!("the pending update of {image}"));
        }
        Ok(())
    }

    fn add(&mut self, manifest: &oci::spec::ImageManifest, who: &str) {
        for layer in manifest.layers() {
            let digest = layer.digest().to_string();
            self.0.entry(digest).or_insert_with(|| who.to_owned());
        }
    }
}

/// What deployed commits are derived from.
fn parents_of(repo: &Repo, usage: &Usage) -> Result<BTreeMap<Checksum, String>, QueryError> {
    let mut parents = BTreeMap::new();
    for (commit, who) in &usage.commits {
        match repo.load_commit(commit) {
            Ok(parsed) => {
                parents.extend(parsed.parent.map(|parent| (parent, who.clone())));
                parents.insert(*commit, who.clone());
            }
            Err(ostree::ReadError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(parents)
}

/// Remove the refs of layers that nothing needs, and nothing else. `None` while a pull is running.
pub(crate) fn collect_layers_alone(repo: &Repo) -> Result<Option<usize>, ImportError> {
    let Some(_alone) = alone(repo)? else {
        return Ok(None);
    };
    let plan = CollectionPlan::of(repo, None, false)?;
    plan.apply(repo)?;
    Ok(Some(plan.refs.len()))
}
