//! What would be written to make a list of deployments the one that boots.

use std::collections::HashMap;

use boot_format::kernel::BootFileKind;
use boot_format::{
    BlsEntry, BootChecksum, BootDir, BootLink, BootVersion, EntryName, SubBootVersion, Tries,
    os_release, title,
};
use serde::{Serialize, Serializer};

use super::BootError;
use crate::kernel::{self, Kernel, Known};
use crate::load::State;
use crate::overlay_initrd::OVERLAYS;
use crate::source::{Committed, Directory, Source};
use crate::sysroot::EntryNames;
use crate::{Deployment, DeploymentId, GeneratedLoader, Sysroot, dir};

/// What would be written to make a list of deployments the one that boots.
#[derive(Debug, Clone, Serialize)]
pub struct BootPlan {
    /// Which link is switched.
    pub switch: BootSwitch,
    /// The deployments, in the order in which they boot.
    pub entries: Vec<PlannedEntry>,
    /// The boot loader whose configuration is written along with other entries.
    pub loader: Option<GeneratedLoader>,
}

/// Which link is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum BootSwitch {
    /// None: the list is the one that is active.
    Nothing,
    /// `ostree/boot.VERSION`: the entries stay as they are, other deployments stand behind them.
    Links {
        /// The set of entries that stays active.
        version: BootVersion,
        /// The set of links that becomes active.
        to: SubBootVersion,
    },
    /// `boot/loader`: other entries.
    Entries {
        /// The set of entries that becomes active.
        to: BootVersion,
        /// Its set of links.
        links: SubBootVersion,
    },
}

/// A boot entry that would be written, and what belongs to it.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedEntry {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its number among those with the same kernel.
    pub boot_serial: u32,
    /// The name of the entry's file.
    pub file: String,
    /// The entry.
    #[serde(serialize_with = "as_text")]
    pub entry: BlsEntry,
    /// The kernel.
    pub kernel: Kernel,
}

fn as_text<S: Serializer>(entry: &BlsEntry, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(entry)
}

impl PlannedEntry {
    /// The directory in `/boot` that holds its kernel.
    #[must_use]
    pub fn boot_dir(&self) -> BootDir {
        BootDir {
            stateroot: self.deployment.stateroot.to_string(),
            checksum: self.kernel.checksum.clone(),
        }
    }
}

/// A deployment that is to boot.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) deployment: Deployment,
    /// Its kernel, when it is not checked out yet and was found in its commit.
    pub(crate) kernel: Option<Kernel>,
}

impl Wanted {
    pub(crate) const fn existing(deployment: Deployment) -> Self {
        Self {
            deployment,
            kernel: None,
        }
    }
}

/// Where an entry stands in the menu.
struct EntryPlace {
    index: usize,
    of: usize,
    /// Whether the menu has entries of several stateroots.
    several: bool,
    version: BootVersion,
    boot_serial: u32,
}

impl Sysroot {
    /// Plan to make `wanted`, in this order, the deployments that boot.
    pub(crate) fn plan_boot(
        &self,
        state: &State,
        wanted: &[Wanted],
    ) -> Result<BootPlan, BootError> {
        self.check_running(state, wanted)?;
        let switch = self.choose_switch(state, wanted)?;
        let loader = match switch {
            BootSwitch::Entries { .. } => self.served_loader()?,
            BootSwitch::Links { .. } | BootSwitch::Nothing => None,
        };
        let version = match switch {
            BootSwitch::Entries { to, .. } => to,
            BootSwitch::Links { .. } | BootSwitch::Nothing => state.boot_version,
        };
        let stateroots = wanted.iter().map(|wanted| &wanted.deployment.id.stateroot);
        let several = stateroots
            .clone()
            .zip(stateroots.skip(1))
            .any(|(a, b)| a != b);
        let serials = boot_serials(wanted);
        let place = |(index, boot_serial)| EntryPlace {
            index,
            of: wanted.len(),
            several,
            version,
            boot_serial,
        };
        let places = serials.into_iter().enumerate().map(place);
        let entries = wanted
            .iter()
            .zip(places)
            .map(|(wanted, place)| self.plan_entry(wanted, &place));
        Ok(BootPlan {
            switch,
            entries: entries.collect::<Result<_, _>>()?,
            loader,
        })
    }

    /// The running deployment must stay, and be known at all.
    fn check_running(&self, state: &State, wanted: &[Wanted]) -> Result<(), BootError> {
        if self.running.is_none() {
            return Ok(());
        }
        let booted = state.booted().ok_or(BootError::RunningUnknown)?;
        if wanted
            .iter()
            .any(|wanted| wanted.deployment.id == booted.id)
        {
            Ok(())
        } else {
            Err(BootError::RemovesRunning(Box::new(booted.id.clone())))
        }
    }

    /// Entries are left alone when each would boot alike: then only links are switched.
    fn choose_switch(&self, state: &State, wanted: &[Wanted]) -> Result<BootSwitch, BootError> {
        let current = &state.deployments;
        let pairs = || {
            current
                .iter()
                .zip(wanted.iter().map(|wanted| &wanted.deployment))
        };
        let alike = current.len() == wanted.len()
            && state.damaged.is_empty()
            && current
                .iter()
                .all(|deployment| !deployment.lacks_boot_files())
            && pairs().all(|(old, new)| self.boots_alike(old, new));
        if !alike {
            // Whatever is left of that set is removed before: its links begin anew.
            let (to, links) = (state.boot_version.other(), SubBootVersion::ONE);
            return Ok(BootSwitch::Entries { to, links });
        }
        if pairs().all(|(old, new)| old.id == new.id) {
            return Ok(BootSwitch::Nothing);
        }
        let (version, to) = (state.boot_version, state.sub_boot_version.other());
        Ok(BootSwitch::Links { version, to })
    }

    /// Whether one deployment can stand behind the entry of the other: same kernel, arguments, initrds,
    /// version in the title, stateroot, and keys of others.
    fn boots_alike(&self, a: &Deployment, b: &Deployment) -> bool {
        let args = |deployment: &Deployment| deployment.kernel_args().without_ostree();
        a.boot_checksum == b.boot_checksum
            && a.entry.overlay_initrds() == b.entry.overlay_initrds()
            && args(a) == args(b)
            && a.id.stateroot == b.id.stateroot
            && self.extra_fields(&a.entry).eq(self.extra_fields(&b.entry))
            && self.version_of(&a.id) == self.version_of(&b.id)
    }

    /// Keys of other programs: not those that are written here.
    fn extra_fields<'a>(&'a self, entry: &'a BlsEntry) -> impl Iterator<Item = (&'a str, &'a str)> {
        let ours = ["fdtdir", "aboot", "abootcfg"];
        let appended = |key: &str| {
            self.boot_config
                .append_except_default
                .iter()
                .any(|(name, _)| name == key)
        };
        entry
            .extra_fields()
            .filter(move |(key, _)| !ours.contains(key) && !appended(key))
    }

    /// The version that the commit says it is; `None` as well when the commit cannot be read.
    pub(crate) fn version_of(&self, id: &DeploymentId) -> Option<String> {
        let commit = self.repo().load_commit(&id.commit).ok()?;
        commit.metadata.get_str("version").map(ToOwned::to_owned)
    }

    fn plan_entry(&self, wanted: &Wanted, place: &EntryPlace) -> Result<PlannedEntry, BootError> {
        let deployment = &wanted.deployment;
        let id = &deployment.id;
        let (name, kernel) = match &wanted.kernel {
            Some(kernel) => {
                let commit = self
                    .repo()
                    .load_commit(&id.commit)
                    .map_err(crate::SourceError::from)?;
                let source = Committed::new(self.repo(), commit.contents);
                (read_name(&source, "usr/etc/os-release")?, kernel.clone())
            }
            None => {
                let source = Directory::new(dir::open(self.dir(), id.path())?);
                (
                    read_name(&source, "etc/os-release")?,
                    installed_kernel(&source, deployment, !self.options.no_device_trees)?,
                )
            }
        };
        let name = name.ok_or_else(|| BootError::NoName {
            id: Box::new(id.clone()),
        })?;
        let stateroot = place.several.then_some(id.stateroot.as_str());
        let version = self.version_of(id);
        let mut entry = deployment.entry.clone();
        entry.set(
            "title",
            &title::title(&name, version.as_deref(), stateroot, place.index),
        );
        entry.set("version", &(place.of - place.index).to_string());
        self.set_boot_files(&mut entry, id, &kernel);
        self.set_options(&mut entry, id, &kernel, place);
        self.set_appended(&mut entry, place.index);
        Ok(PlannedEntry {
            file: self.entry_file(deployment, place).to_string(),
            deployment: id.clone(),
            boot_serial: place.boot_serial,
            entry,
            kernel,
        })
    }

    fn set_boot_files(&self, entry: &mut BlsEntry, id: &DeploymentId, kernel: &Kernel) {
        let prefix = self.boot_config.prefix();
        let checksum = kernel.checksum.clone();
        let dir = BootDir {
            stateroot: id.stateroot.to_string(),
            checksum,
        }
        .path();
        for file in &kernel.files {
            let path = format!("{prefix}{dir}/{}", file.name);
            match file.kind {
                BootFileKind::Kernel => entry.set("linux", &path),
                BootFileKind::Initramfs => entry.set("initrd", &path),
                BootFileKind::DeviceTree => entry.set("devicetree", &path),
                BootFileKind::DeviceTreeDir => entry.set("fdtdir", &path),
                BootFileKind::AndroidBoot => {
                    entry.set("aboot", &format!("/{dir}/{}", file.name));
                    entry.set(
                        "abootcfg",
                        &format!("/{}/usr/lib/ostree-boot/aboot.cfg", id.path()),
                    );
                }
                _ => {}
            }
        }
        let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        let moved = |path| format!("{prefix}{OVERLAYS}/{}", name(path));
        let overlays = entry.overlay_initrds().iter().map(moved).collect();
        entry.set_overlay_initrds(overlays);
    }

    fn set_options(
        &self,
        entry: &mut BlsEntry,
        id: &DeploymentId,
        kernel: &Kernel,
        place: &EntryPlace,
    ) {
        let link = BootLink {
            version: place.version,
            stateroot: id.stateroot.to_string(),
            checksum: kernel.checksum.clone(),
            serial: place.boot_serial,
        };
        let mut args = entry.kernel_args();
        if kernel.file(BootFileKind::Initramfs).is_none() {
            // Without an initramfs the kernel itself has to start what prepares the root.
            args.set(&format!("init={link}/usr/lib/ostree/ostree-prepare-root"));
        }
        args.set(&format!("ostree={link}"));
        entry.set("options", &args.to_string());
    }

    fn set_appended(&self, entry: &mut BlsEntry, index: usize) {
        for (key, value) in &self.boot_config.append_except_default {
            if index > 0 {
                entry.set(key, value);
            } else if entry.get(key) == Some(value) {
                entry.remove(key);
            }
        }
    }

    /// Boots of a new entry are counted if that is configured; counters go with their deployment.
    fn entry_file(&self, deployment: &Deployment, place: &EntryPlace) -> EntryName {
        let number = u32::try_from(place.of - place.index).unwrap_or(u32::MAX);
        let stateroot = match self.options.entry_names {
            EntryNames::Number => None,
            EntryNames::NumberAndStateroot => Some(deployment.id.stateroot.to_string()),
        };
        let max = self.boot_config.tries;
        let tries = match &deployment.entry_file {
            _ if max == 0 => None,
            None => Some(Tries {
                left: max,
                done: None,
            }),
            Some(file) => Tries::of_file(file)
                .filter(|tries| tries.left > 0 || tries.done > Some(0))
                .map(|tries| Tries {
                    done: Some(tries.done.unwrap_or(0)),
                    ..tries
                }),
        };
        EntryName {
            number,
            stateroot,
            tries,
        }
    }
}

/// Deployments with the same kernel are counted from zero in boot order.
fn boot_serials(wanted: &[Wanted]) -> Vec<u32> {
    let mut counts: HashMap<&BootChecksum, u32> = HashMap::new();
    let mut next = |checksum| {
        let count = counts.entry(checksum).or_default();
        std::mem::replace(count, *count + 1)
    };
    wanted
        .iter()
        .map(|wanted| next(&wanted.deployment.boot_checksum))
        .collect()
}

fn read_name(source: &dyn Source, etc: &str) -> Result<Option<String>, BootError> {
    let text = match source.text("usr/lib/os-release")? {
        Some(text) => Some(text),
        None => source.text(etc)?,
    };
    Ok(text.and_then(|text| os_release::pretty_name(&text)))
}

fn installed_kernel(
    source: &Directory,
    deployment: &Deployment,
    device_trees: bool,
) -> Result<Kernel, BootError> {
    let linux = deployment
        .entry
        .get("linux")
        .and_then(|path| path.rsplit('/').next());
    let known = Known {
        checksum: &deployment.boot_checksum,
        linux,
    };
    kernel::find(source, Some(known), device_trees).map_err(|source| BootError::Kernel {
        id: Box::new(deployment.id.clone()),
        source: Box::new(source),
    })
}
