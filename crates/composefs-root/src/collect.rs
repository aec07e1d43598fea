//! What no boot entry leads to is removed: one rule for state, kernels and unified kernel images.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::Path;

use composefs_format::Digest;
use durable::crash_point;

use crate::layout::{BOOT_DIR, STATE, UKI};
use crate::roots::Locked;
use crate::{RootError, Roots};

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct Collected {
    /// States of deployments, by their names.
    pub states: Vec<String>,
    /// Kernels and unified kernel images, by the digests in their names.
    pub kernels: Vec<String>,
}

/// What deployments need of the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct Needed {
    /// Images of roots.
    pub images: BTreeSet<Digest>,
    /// Manifests of the images of containers that they were made of.
    pub manifests: BTreeSet<String>,
}

impl Roots {
    /// The deployments that are there: in the menu, staged, or running.
    pub(crate) fn alive(&self) -> Result<BTreeSet<Digest>, RootError> {
        let menus = self.menu()?.into_iter().chain(self.staged_if_any()?);
        let booted = self.booted().map(|argument| argument.digest);
        let staged = self.staged().ok().flatten().map(|staged| staged.id);
        let ids = menus.filter_map(|entry| entry.id);
        Ok(ids.chain(booted).chain(staged).collect())
    }

    /// Entries that were staged, if they are to take their place.
    fn staged_if_any(&self) -> Result<Vec<crate::RootEntry>, RootError> {
        match self.staged() {
            Ok(None) => Ok(Vec::new()),
            // What cannot be read may need them.
            _ => self.staged_menu(),
        }
    }

    /// What of the repository must not be collected, because a deployment needs it.
    ///
    /// # Errors
    /// [`RootError`]: what is damaged may need anything.
    pub fn needed(&self) -> Result<Needed, RootError> {
        let mut needed = Needed::default();
        for id in self.alive()? {
            let origin = self.origin(&id)?;
            needed
                .manifests
                .extend(origin.and_then(|origin| origin.manifest_digest()));
            needed.images.insert(id);
        }
        Ok(needed)
    }

    /// Remove what no deployment needs: states, kernels, unified kernel images.
    ///
    /// # Errors
    /// [`RootError`]; what was removed until then is gone, and the next call goes on.
    pub fn clean_up(&self) -> Result<Collected, RootError> {
        self.lock()?.collect()
    }

    fn kernels_alive(&self) -> Result<BTreeSet<String>, RootError> {
        let entries = self.menu()?.into_iter().chain(self.staged_if_any()?);
        let digests = entries.filter_map(|entry| entry.boot_files());
        Ok(digests.map(|digest| digest.to_string()).collect())
    }
}

impl Locked<'_> {
    pub(crate) fn collect(&self) -> Result<Collected, RootError> {
        let mut collected = Collected::default();
        let roots = self.roots;
        let alive: BTreeSet<_> = roots.alive()?.iter().map(ToString::to_string).collect();
        let kernels = roots.kernels_alive()?;
        for name in roots
            .boot_dirs()?
            .into_iter()
            .filter(|name| !kernels.contains(name))
        {
            let path = format!("{}/{BOOT_DIR}{name}", roots.boot.files);
            durable::remove_all(roots.boot.dir.as_fd(), Path::new(&path))?;
            collected.kernels.push(name);
        }
        for name in roots
            .ukis()?
            .into_iter()
            .filter(|name| !kernels.contains(name))
        {
            if let Some(esp) = &roots.esp {
                let path = format!("{UKI}/{BOOT_DIR}{name}.efi");
                durable::remove_all(esp.as_fd(), Path::new(&path))?;
                collected.kernels.push(name);
            }
        }
        crash_point("roots:kernels-collected");
        for name in roots
            .states()?
            .into_iter()
            .filter(|name| !alive.contains(name))
        {
            let path = format!("{STATE}/{name}");
            durable::remove_all(roots.physical.as_fd(), Path::new(&path))?;
            collected.states.push(name);
        }
        Ok(collected)
    }
}
