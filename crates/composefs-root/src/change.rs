//! Changes of what boots without a new image: planned, then made.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::Path;

use boot_format::KernelArgs;
use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::deploy::naming;
use crate::layout::{ENTRIES, STAGED_ENTRIES};
use crate::roots::Locked;
use crate::{RootArgument, RootEntry, RootError, Roots};

/// A change of what boots.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are these changes")]
pub enum MenuChange {
    /// Let this one boot first. Without a name what is staged is given up; or, when another one than the running
    /// deployment is first, the running one is again; or the one behind it is.
    First(Option<Digest>),
    /// Let this one boot no more.
    Remove(Digest),
    /// Let none boot any more. Not on a running system.
    RemoveAll,
    /// Give up what is staged.
    GiveUp,
    /// Give what boots first, staged or not, these arguments and the one that names its image.
    Arguments(KernelArgs),
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct MenuPlan {
    /// The entries that boot afterwards, in the order of the menu; what is staged before them.
    pub menu: Vec<RootEntry>,
    /// What was staged and is given up.
    pub gives_up: Option<Digest>,
    /// Whether anything is other than before.
    pub changed: bool,
    /// Deployments that are removed, because nothing boots them any more.
    pub removed: Vec<String>,
}

impl Roots {
    /// What a change would do.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn plan_change(&self, change: &MenuChange) -> Result<MenuPlan, RootError> {
        let (before, staged) = (self.menu()?, self.staged()?);
        let waiting = self.waiting()?;
        let menu = before.clone();
        let (menu, given) = match change {
            MenuChange::First(wanted) => {
                let first = self.target(&menu, wanted.as_ref(), staged.is_some())?;
                (with_first(menu, &first), None)
            }
            MenuChange::Remove(id) => (self.without(menu, id)?, waiting.clone()),
            MenuChange::RemoveAll => (self.without_any(menu)?, None),
            MenuChange::GiveUp => (menu, None),
            MenuChange::Arguments(args) => match waiting.clone() {
                Some(entry) => (menu, Some(self.given(entry, args)?)),
                None => (self.with_arguments(menu, args)?, None),
            },
        };
        let gives_up = match change {
            MenuChange::First(_) => staged.map(|staged| staged.id),
            MenuChange::GiveUp => Some(staged.ok_or(RootError::NothingStaged)?.id),
            _ => None,
        };
        let replaced = given.is_some() && given != waiting;
        let changed = gives_up.is_some() || menu != before || replaced;
        let menu: Vec<_> = given.into_iter().chain(menu).collect();
        let gone = before.iter().filter_map(RootEntry::id).copied();
        let gone = self.not_in(&menu, gone.chain(gives_up));
        Ok(MenuPlan {
            menu,
            gives_up,
            changed,
            removed: gone,
        })
    }

    /// Those that nothing boots by this menu, and that do not run.
    pub(crate) fn not_in(
        &self,
        menu: &[RootEntry],
        ids: impl Iterator<Item = Digest>,
    ) -> Vec<String> {
        let running = self.booted().map(|argument| argument.digest);
        let is_gone = |id: &Digest| {
            running != Some(*id) && !menu.iter().any(|entry| entry.id.as_ref() == Some(id))
        };
        let gone: BTreeSet<_> = ids.filter(is_gone).collect();
        gone.iter().map(ToString::to_string).collect()
    }

    /// Make a change. What nothing needs any more is removed.
    ///
    /// # Errors
    /// [`RootError`]. What boots is as it was, unless the clean-up afterwards is what failed; calling again completes it.
    pub fn change(&self, change: &MenuChange) -> Result<MenuPlan, RootError> {
        let locked = self.lock()?;
        // Whoever was stopped in a change has left something.
        locked.collect()?;
        let mut plan = self.plan_change(change)?;
        if plan.changed {
            locked.clear_next_root()?;
        }
        if plan.gives_up.is_some() {
            locked.give_up_stage()?;
        }
        match change {
            _ if !plan.changed => {}
            MenuChange::GiveUp => {}
            MenuChange::Remove(id) => locked.remove_entries(id)?,
            MenuChange::Arguments(_) => locked.replace_first(&plan)?,
            MenuChange::First(_) | MenuChange::RemoveAll => {
                if plan.menu != self.menu()? {
                    locked.write_menu(plan.menu.clone())?;
                    locked.switch_menu()?;
                }
            }
        }
        plan.removed = locked.collect()?.states;
        Ok(plan)
    }

    /// Whether what boots next, staged or not, is this image, and its entry does not demand that the kernel verifies it,
    /// although it could: it was sealed since.
    ///
    /// # Errors
    /// What the system said.
    pub fn may_demand_verity(&self, id: &Digest) -> Result<bool, RootError> {
        let mut entries = self.waiting()?.into_iter().chain(self.menu()?);
        let next = entries.find(|entry| entry.id.is_some());
        let Some(next) = next.filter(|entry| entry.id == Some(*id) && !entry.is_unified()) else {
            return Ok(false);
        };
        let told = RootArgument::find(&next.kernel_args(), None)?;
        let is_marked = told.is_some_and(|told| told.unverified);
        Ok(is_marked && !self.argument_for(id).unverified)
    }

    /// The entry of what is staged, until it takes its place.
    fn waiting(&self) -> Result<Option<RootEntry>, RootError> {
        let Some(staged) = self.staged()? else {
            return Ok(None);
        };
        let mut entries = self.staged_menu()?.into_iter();
        Ok(entries.find(|entry| entry.id == Some(staged.id)))
    }

    fn without(&self, menu: Vec<RootEntry>, id: &Digest) -> Result<Vec<RootEntry>, RootError> {
        if self.booted().is_some_and(|booted| booted.digest == *id) {
            return Err(RootError::Running(Box::new(*id)));
        }
        if !menu.iter().any(|entry| entry.id.as_ref() == Some(id)) {
            return Err(RootError::NoDeployment(id.to_string()));
        }
        let others = menu.into_iter();
        Ok(others
            .filter(|entry| entry.id.as_ref() != Some(id))
            .collect())
    }

    fn without_any(&self, menu: Vec<RootEntry>) -> Result<Vec<RootEntry>, RootError> {
        if let Some(booted) = self.booted() {
            return Err(RootError::Running(Box::new(booted.digest)));
        }
        Ok(menu
            .into_iter()
            .filter(|entry| entry.id.is_none())
            .collect())
    }

    fn with_arguments(
        &self,
        mut menu: Vec<RootEntry>,
        args: &KernelArgs,
    ) -> Result<Vec<RootEntry>, RootError> {
        let first = menu.iter_mut().find(|entry| entry.id.is_some());
        let first = first.ok_or(RootError::NoRollback)?;
        *first = self.given(first.clone(), args)?;
        Ok(menu)
    }

    /// An entry with other arguments.
    fn given(&self, mut entry: RootEntry, args: &KernelArgs) -> Result<RootEntry, RootError> {
        let Some(id) = entry.id else {
            return Ok(entry);
        };
        if entry.is_unified() {
            return Err(RootError::UnifiedArguments(Box::new(id)));
        }
        let args = naming(args, &self.argument_for(&id).to_string());
        entry.bls.set("options", &args.to_string());
        Ok(entry)
    }
}

/// The menu with another first entry; sorting keeps the order of the others.
fn with_first(mut menu: Vec<RootEntry>, first: &Digest) -> Vec<RootEntry> {
    if menu.iter().find_map(|entry| entry.id) != Some(*first) {
        menu.sort_by_key(|entry| entry.id.as_ref() != Some(first));
    }
    menu
}

impl Locked<'_> {
    /// Remove the entries of a deployment: from those that wait to take their place first, so that it does not come back.
    fn remove_entries(&self, id: &Digest) -> Result<(), RootError> {
        let boot = self.roots.boot.dir.as_fd();
        let staged = self.roots.staged_menu()?.into_iter();
        let menu = self.roots.menu()?.into_iter();
        let found = staged
            .map(|entry| (STAGED_ENTRIES, entry))
            .chain(menu.map(|entry| (ENTRIES, entry)));
        for (dir, entry) in found.filter(|(_, entry)| entry.id.as_ref() == Some(id)) {
            let path = format!("{dir}/{}", entry.file_name);
            match rustix::fs::unlinkat(boot, &path, AtFlags::empty()) {
                Err(Errno::NOENT) => {}
                other => other.during("remove", &path)?,
            }
            durable::sync_filesystem(boot)?;
            crash_point("roots:entry-removed");
        }
        self.rest_journal();
        Ok(())
    }

    /// Write what boots first in its place: one file, which is the old or the new one.
    fn replace_first(&self, plan: &MenuPlan) -> Result<(), RootError> {
        let dir = match self.roots.waiting()? {
            Some(_) => STAGED_ENTRIES,
            None => ENTRIES,
        };
        let boot = self.roots.boot.dir.as_fd();
        if let Some(entry) = plan.menu.iter().find(|entry| entry.id.is_some()) {
            let path = format!("{dir}/{}", entry.file_name);
            durable::publish(boot, Path::new(&path), entry.text().as_bytes(), 0o644)?;
            crash_point("roots:entry-replaced");
        }
        self.rest_journal();
        Ok(())
    }
}
