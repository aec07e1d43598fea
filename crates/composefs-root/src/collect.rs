//! What no boot entry leads to is removed: one rule for state, kernels and unified kernel images.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use composefs_format::Digest;
use durable::crash_point;
use rustix::fs::{AtFlags, FileType};

use crate::directory::names_in;
use crate::layout::{BOOT_DIR, ENTRIES, STAGED_ENTRIES, STATE, UKI};
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
    /// What was being written by somebody who was stopped, below the file system that boots it or the root.
    pub strays: Vec<String>,
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

    /// Remove what no deployment needs: states, kernels, unified kernel images. Not stateroots: their `/var`
    /// is somebody's ([`Roots::remove_stateroot`]).
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

/// What no deployment needs.
struct LeftOver {
    /// Directories with kernels.
    kernels: Vec<String>,
    /// Unified kernel images.
    unified: Vec<String>,
    states: Vec<String>,
    /// Beside boot entries.
    boot: Vec<String>,
    /// In states.
    physical: Vec<String>,
}

impl Roots {
    /// What [`Self::clean_up`] would remove.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn plan_clean_up(&self) -> Result<Collected, RootError> {
        let left = self.left_over()?;
        Ok(Collected {
            states: left.states,
            kernels: left.kernels.into_iter().chain(left.unified).collect(),
            strays: left.boot.into_iter().chain(left.physical).collect(),
        })
    }

    fn left_over(&self) -> Result<LeftOver, RootError> {
        let alive: BTreeSet<_> = self.alive()?.iter().map(ToString::to_string).collect();
        let kernels = self.kernels_alive()?;
        let without = |names: Vec<String>, needed: &BTreeSet<String>| {
            let names = names.into_iter();
            names.filter(|name| !needed.contains(name)).collect()
        };
        let mut physical = Vec::new();
        for name in &alive {
            physical.extend(strays_in(
                self.physical.as_fd(),
                &format!("{STATE}/{name}"),
            )?);
        }
        Ok(LeftOver {
            boot: self.boot_strays()?,
            physical,
            kernels: without(self.boot_dirs()?, &kernels),
            unified: without(self.ukis()?, &kernels),
            states: without(self.states()?, &alive),
        })
    }

    /// Entries that no longer wait to take their place, and those that were being written.
    fn boot_strays(&self) -> Result<Vec<String>, RootError> {
        let boot = self.boot.dir.as_fd();
        let mut strays = strays_in(boot, ENTRIES)?;
        match self.staged() {
            // Those that have taken their place have left the others there.
            Ok(None) => {
                let there = rustix::fs::statat(boot, STAGED_ENTRIES, AtFlags::SYMLINK_NOFOLLOW);
                strays.extend(there.is_ok().then(|| STAGED_ENTRIES.to_owned()));
            }
            _ => strays.extend(strays_in(boot, STAGED_ENTRIES)?),
        }
        Ok(strays)
    }
}

/// Files in a directory that were being written.
fn strays_in(base: BorrowedFd<'_>, dir: &str) -> Result<Vec<String>, RootError> {
    let names = names_in(base, dir)?.into_iter();
    let strays = names.filter(|(name, _)| name.starts_with('.') && name.ends_with(".tmp"));
    // What is a directory is made anew by who needs it.
    let strays = strays.filter(|(_, kind)| *kind != FileType::Directory);
    Ok(strays.map(|(name, _)| format!("{dir}/{name}")).collect())
}

impl Locked<'_> {
    pub(crate) fn collect(&self) -> Result<Collected, RootError> {
        let mut collected = Collected::default();
        let roots = self.roots;
        let left = roots.left_over()?;
        for name in left.kernels {
            let path = format!("{}/{BOOT_DIR}{name}", roots.boot.files);
            durable::remove_all(roots.boot.dir.as_fd(), Path::new(&path))?;
            collected.kernels.push(name);
        }
        for name in left.unified {
            if let Some(esp) = &roots.esp {
                let path = format!("{UKI}/{BOOT_DIR}{name}.efi");
                durable::remove_all(esp.as_fd(), Path::new(&path))?;
                collected.kernels.push(name);
            }
        }
        crash_point("roots:kernels-collected");
        for name in left.states {
            let path = format!("{STATE}/{name}");
            durable::remove_all(roots.physical.as_fd(), Path::new(&path))?;
            collected.states.push(name);
        }
        let (boot, physical) = (roots.boot.dir.as_fd(), roots.physical.as_fd());
        let strays = left.boot.into_iter().map(|path| (boot, path));
        let strays = strays.chain(left.physical.into_iter().map(|path| (physical, path)));
        for (base, path) in strays {
            durable::remove_all(base, Path::new(&path))?;
            collected.strays.push(path);
        }
        Ok(collected)
    }
}
