//! Images that roots of composefs bind: there before a root may boot, and removed when none binds them any more.

use std::os::fd::{AsFd as _, BorrowedFd};

use composefs_format::Digest;
use progress::Progress;

use crate::backend::Job;
use crate::{
    BootedComposefs, BoundError, BoundPlace, BoundRoot, ChangeError, check_bound_images,
    fetch_bound_images, link_bootc, prune_bound_images,
};

impl BootedComposefs {
    fn bound_place(&self) -> BoundPlace<'_> {
        BoundPlace::new(self.physical.as_fd(), self.roots.run())
    }

    fn bound_root(&self, id: &Digest) -> Result<BoundRoot, ChangeError> {
        let root = self.roots.open_root(id)?;
        let bound = labelled(&id.to_string(), root.as_fd());
        Ok(bound.map_err(Box::new)?)
    }

    /// Fetch what a root binds.
    pub(crate) fn fetch_bound(&self, id: &Digest, job: &Job<'_>) -> Result<(), ChangeError> {
        let root = self.bound_root(id)?;
        if root.is_empty() {
            return Ok(());
        }
        link_bootc(self.physical.as_fd())?;
        let (place, now) = (self.bound_place(), job.options.now);
        let (progress, interrupt) = (job.progress, job.interrupt);
        fetch_bound_images(place, &root, job.access, now, progress, interrupt).map_err(Box::new)?;
        Ok(())
    }

    /// Whether all that is there.
    pub(crate) fn check_bound(&self, id: &Digest) -> Result<(), ChangeError> {
        let root = self.bound_root(id)?;
        Ok(check_bound_images(self.bound_place(), &root).map_err(Box::new)?)
    }

    /// What all roots bind that can boot.
    pub(crate) fn all_bound(&self) -> Result<Vec<BoundRoot>, ChangeError> {
        let found = self.roots.deployments()?;
        found.iter().map(|one| self.bound_root(&one.id)).collect()
    }

    /// Remove what none binds any more. That this fails is no reason to fail.
    pub(crate) fn prune_bound(&self, progress: &dyn Progress) {
        let pruned = self.all_bound().and_then(|roots| {
            // Nothing gets a time of removal.
            let pruned = prune_bound_images(self.bound_place(), &roots, 0);
            Ok(pruned.map_err(Box::new)?)
        });
        if let Err(error) = pruned {
            progress.note(&format!("bound images could not be removed: {error}"));
        }
    }
}

/// The root in a directory, with its policy where that is needed.
fn labelled(key: &str, root: BorrowedFd<'_>) -> Result<BoundRoot, BoundError> {
    let bound = BoundRoot::of_directory(key, root)?;
    if bound.is_empty() {
        return Ok(bound);
    }
    let policy = ::image::policy_of_directory(root)?;
    Ok(bound.labelled(policy))
}
