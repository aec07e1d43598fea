//! Removing what no boot entry leads to: left over from earlier deployments, or by a call that did not
//! come to its end.

use std::collections::HashSet;
use std::os::fd::AsFd as _;
use std::path::Path;

use boot_format::{BootDir, BootVersion, SubBootVersion};
use durable::{Error, crash_point};
use error_class::{Classified, ErrorClass};
use rustix::fs::FileType;
use serde::Serialize;

use crate::load::{LoadError, State};
use crate::overlay_initrd::OVERLAYS;
use crate::refs::DeploymentRefError;
use crate::sysroot::REPO;
use crate::{DeploymentId, Locked, Sysroot, dir, immutable};

/// What a clean-up removes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CleanupPlan {
    /// Sets of boot entries and links that are not active, and temporary names; below the root.
    pub boot_sets: Vec<String>,
    /// Deployments that no boot entry leads to.
    pub deployments: Vec<DeploymentId>,
    /// Files beside deployments that belong to none; below the root.
    pub strays: Vec<String>,
    /// Kernels in `/boot` that no entry names, and initrds; relative to `/boot`.
    pub boot_files: Vec<String>,
}

/// Why a clean-up was not completed. What had been removed until then is gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CleanupError {
    /// It could not be read what is deployed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The refs of deployments could not be written.
    #[error(transparent)]
    Refs(#[from] DeploymentRefError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] Error),
}

impl Classified for CleanupError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Load(error) => error.class(),
            Self::Refs(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl CleanupPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.boot_sets.is_empty()
            && self.deployments.is_empty()
            && self.strays.is_empty()
            && self.boot_files.is_empty()
    }
}

/// What must stay.
struct Roots {
    deployments: HashSet<DeploymentId>,
    /// Boot checksums, of whatever stateroot.
    kernels: HashSet<String>,
    /// Names of additional initrds.
    initrds: HashSet<String>,
}

impl Sysroot {
    /// Plan to remove what nothing leads to. Objects of the repository are another matter: that is
    /// pruning.
    ///
    /// While an entry is damaged, everything that the active boot links lead to stays, even if no
    /// entry does: it may be what the damaged one led to.
    ///
    /// # Errors
    /// What the system said.
    pub fn plan_cleanup(&self, state: &State) -> Result<CleanupPlan, Error> {
        let roots = self.roots(state)?;
        let mut plan = CleanupPlan {
            boot_sets: self.stale_boot_sets(state)?,
            boot_files: self.stale_boot_files(&roots)?,
            ..CleanupPlan::default()
        };
        for stateroot in self.stateroots()? {
            let path = format!("{}/deploy", stateroot.path());
            let mut there = HashSet::new();
            let mut others = Vec::new();
            for (name, kind) in dir::names_below(self.dir(), &path)? {
                match DeploymentId::from_directory(stateroot.clone(), &name) {
                    Ok(id) if kind == FileType::Directory => {
                        there.insert(name);
                        let stays = roots.deployments.contains(&id) || self.is_running_root(&id)?;
                        plan.deployments.extend((!stays).then_some(id));
                    }
                    _ => others.push(name),
                }
            }
            let strays = others.into_iter().filter(|name| is_stray(name, &there));
            plan.strays
                .extend(strays.map(|name| format!("{path}/{name}")));
        }
        plan.strays.extend(self.stray_refs()?);
        plan.strays.extend(self.stray_descriptions()?);
        Ok(plan)
    }

    /// Refs of deployments that were being written.
    fn stray_refs(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for version in [BootVersion::ZERO, BootVersion::ONE] {
            for sub in [SubBootVersion::ZERO, SubBootVersion::ONE] {
                let path = format!("{REPO}/refs/heads/ostree/{version}/{sub}");
                let names = dir::names_below(self.dir(), &path)?.into_iter();
                let strays = names.filter(|(name, _)| is_temporary(name));
                found.extend(strays.map(|(name, _)| format!("{path}/{name}")));
            }
        }
        Ok(found)
    }

    fn roots(&self, state: &State) -> Result<Roots, Error> {
        let mut roots = Roots {
            deployments: HashSet::new(),
            kernels: HashSet::new(),
            initrds: HashSet::new(),
        };
        for deployment in &state.deployments {
            roots.deployments.insert(deployment.id.clone());
            roots.kernels.insert(deployment.boot_checksum.to_string());
            let overlays = deployment.entry.overlay_initrds().iter();
            roots
                .initrds
                .extend(overlays.filter_map(|path| path.rsplit('/').next().map(Into::into)));
        }
        for staged in state.staged.iter().flatten() {
            let merge = staged.merge.iter();
            for (id, kernel) in merge.chain([&staged.target]) {
                roots.deployments.insert(id.clone());
                roots.kernels.insert(kernel.to_string());
            }
            let overlays = staged.overlay_initrds.iter();
            roots
                .initrds
                .extend(overlays.map(|sum| format!("{sum}.img")));
        }
        let unreadable_stage = matches!(state.staged, Some(Err(_)));
        if !state.damaged.is_empty() || unreadable_stage {
            self.add_linked(state, &mut roots)?;
        }
        Ok(roots)
    }

    /// Everything that the active boot links lead to.
    fn add_linked(&self, state: &State, roots: &mut Roots) -> Result<(), Error> {
        let links = format!("ostree/{}", state.boot_version.link_name());
        for (stateroot, _) in dir::names_below(self.dir(), &links)? {
            let Ok(name) = stateroot.parse::<crate::StaterootName>() else {
                continue;
            };
            for (kernel, _) in dir::names_below(self.dir(), format!("{links}/{stateroot}"))? {
                let path = format!("{links}/{stateroot}/{kernel}");
                for (serial, _) in dir::names_below(self.dir(), &path)? {
                    let target = dir::read_link_optional(self.dir(), format!("{path}/{serial}"))?;
                    let target = target.unwrap_or_default();
                    let last = target.file_name().unwrap_or_default().to_string_lossy();
                    let id = DeploymentId::from_directory(name.clone(), &last);
                    roots.deployments.extend(id.ok());
                }
                roots.kernels.insert(kernel);
            }
        }
        Ok(())
    }

    /// The other set of entries, the other sets of links, and names of links on their way.
    fn stale_boot_sets(&self, state: &State) -> Result<Vec<String>, Error> {
        let (version, sub) = (state.boot_version, state.sub_boot_version);
        let other = version.other();
        let mut candidates = vec![
            format!("boot/{}", other.loader_dir()),
            format!("ostree/{}", other.link_name()),
            format!("ostree/{}", sub.other().link_dir(version)),
            "boot/loader.tmp".to_owned(),
        ];
        for sub in [SubBootVersion::ZERO, SubBootVersion::ONE] {
            candidates.push(format!("ostree/{}", sub.link_dir(other)));
        }
        for version in [BootVersion::ZERO, BootVersion::ONE] {
            candidates.push(format!("ostree/{}.tmp", version.link_name()));
        }
        let mut found = Vec::new();
        for path in candidates {
            if dir::exists(self.root_of(&path), &path)? {
                found.push(path);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn stale_boot_files(&self, roots: &Roots) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for (name, kind) in dir::names_below(self.boot_root(), "boot/ostree")? {
            let boot_dir = BootDir::parse(&name).filter(|_| kind == FileType::Directory);
            if boot_dir.is_some_and(|dir| !roots.kernels.contains(dir.checksum.as_str())) {
                found.push(format!("ostree/{name}"));
            }
        }
        for (name, kind) in dir::names_below(self.boot_root(), format!("boot/{OVERLAYS}"))? {
            if kind == FileType::RegularFile && !roots.initrds.contains(&name) {
                found.push(format!("{OVERLAYS}/{name}"));
            }
        }
        Ok(found)
    }

    fn is_running_root(&self, id: &DeploymentId) -> Result<bool, Error> {
        let Some(running) = &self.running else {
            return Ok(false);
        };
        let stat = dir::stat_optional(self.dir(), id.path())?;
        Ok(stat.is_some_and(|stat| running.is_root(stat.st_dev, stat.st_ino)))
    }
}

/// An origin file without its deployment, or a file that was being written.
fn is_stray(name: &str, deployments: &HashSet<String>) -> bool {
    match name.strip_suffix(".origin") {
        Some(deployment) => !name.starts_with('.') && !deployments.contains(deployment),
        None => is_temporary(name),
    }
}

fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

impl Locked<'_> {
    /// Remove what nothing leads to, and bring the refs of the deployments in order.
    ///
    /// # Errors
    /// [`CleanupError`].
    pub fn cleanup(&self) -> Result<CleanupPlan, CleanupError> {
        let state = self.load()?;
        self.settle_kept_stage(&state)?;
        let plan = self.plan_cleanup(&state)?;
        self.apply_cleanup(&plan)?;
        self.clear_lost_next_root()?;
        self.replace_refs(
            (state.boot_version, state.sub_boot_version),
            &state.commits(),
        )?;
        Ok(plan)
    }

    pub(crate) fn apply_cleanup(&self, plan: &CleanupPlan) -> Result<(), Error> {
        for path in &plan.boot_sets {
            durable::remove_all(self.root_of(path), Path::new(path))?;
            crash_point("sysroot:boot-set-removed");
        }
        for id in &plan.deployments {
            self.remove_deployment(id)?;
            crash_point("sysroot:deployment-removed");
        }
        for path in &plan.strays {
            durable::remove_all(self.dir(), Path::new(path))?;
        }
        for path in &plan.boot_files {
            durable::remove_all(self.boot_root(), Path::new(&format!("boot/{path}")))?;
            crash_point("sysroot:kernel-removed");
        }
        Ok(())
    }

    /// Remove a deployment. Its directory goes last: as long as it is there, the next clean-up finds
    /// it and what belongs to it.
    pub(crate) fn remove_deployment(&self, id: &DeploymentId) -> Result<(), Error> {
        if let Some(directory) = dir::open_optional(self.dir(), id.path())? {
            immutable::set(directory.as_fd(), false)?;
        }
        durable::remove_all(self.dir(), Path::new(&id.backing_path()))?;
        dir::unlink_optional(self.dir(), id.origin_path())?;
        crash_point("sysroot:origin-removed");
        durable::remove_all(self.dir(), Path::new(&id.path()))
    }
}
