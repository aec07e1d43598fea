//! The boot entries on disk. All of them change in one step: another directory takes their place.

use std::os::fd::AsFd as _;
use std::path::Path;

use durable::{IoContext as _, crash_point};
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use crate::directory::names_in;
use crate::entry::in_menu_order;
use crate::layout::{ENTRIES, STAGED_ENTRIES};
use crate::roots::Locked;
use crate::{RootEntry, RootError, Roots};

/// Largest entry that is read.
const MAX_ENTRY: u64 = 1024 * 1024;

impl Roots {
    /// The boot entries in the order of the menu, also those of other systems.
    ///
    /// # Errors
    /// What the system said.
    pub fn menu(&self) -> Result<Vec<RootEntry>, RootError> {
        self.entries_in(ENTRIES)
    }

    /// Those that are to take the place of [`Self::menu`].
    pub(crate) fn staged_menu(&self) -> Result<Vec<RootEntry>, RootError> {
        self.entries_in(STAGED_ENTRIES)
    }

    fn entries_in(&self, dir: &str) -> Result<Vec<RootEntry>, RootError> {
        let mut entries = Vec::new();
        for (name, _) in names_in(self.boot.dir.as_fd(), dir)? {
            if !name.ends_with(".conf") {
                continue;
            }
            let path = format!("{dir}/{name}");
            let text = durable::read_optional(self.boot.dir.as_fd(), Path::new(&path), MAX_ENTRY)?;
            let text = text.unwrap_or_default();
            let mut entry = RootEntry::parse(&name, &String::from_utf8_lossy(&text));
            if let Some(id) = entry.id.filter(|_| entry.is_unified()) {
                entry.unified = Some(self.uki_arguments(&id)?);
            }
            entries.push(entry);
        }
        in_menu_order(&mut entries);
        Ok(entries)
    }
}

impl Locked<'_> {
    /// Write the entries that take the place of those that there are, in the order of the menu; those of other
    /// systems stay as they are. All that they need is on disk when this is done.
    pub(crate) fn write_menu(&self, entries: Vec<RootEntry>) -> Result<(), RootError> {
        let boot = self.roots.boot.dir.as_fd();
        durable::remove_all(boot, Path::new(STAGED_ENTRIES))?;
        durable::create_dir_all(boot, Path::new(STAGED_ENTRIES), 0o755)?;
        let count = entries.len();
        for (place, entry) in entries.into_iter().enumerate() {
            let entry = entry.at(place, count);
            let path = format!("{STAGED_ENTRIES}/{}", entry.file_name);
            let text = entry.text();
            durable::publish_no_sync(boot, Path::new(&path), text.as_bytes(), 0o644)?;
        }
        durable::sync_filesystem(boot)?;
        crash_point("roots:menu-written");
        Ok(())
    }

    /// Let the entries that were written take their place.
    pub(crate) fn switch_menu(&self) -> Result<(), RootError> {
        let boot = self.roots.boot.dir.as_fd();
        durable::sync_filesystem(self.roots.physical.as_fd())?;
        let there = rustix::fs::statat(boot, ENTRIES, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let flags = match there {
            true => RenameFlags::EXCHANGE,
            false => RenameFlags::NOREPLACE,
        };
        let renamed = rustix::fs::renameat_with(boot, STAGED_ENTRIES, boot, ENTRIES, flags);
        renamed.during("rename over", ENTRIES)?;
        durable::sync_filesystem(boot)?;
        crash_point("roots:menu-switched");
        durable::remove_all(boot, Path::new(STAGED_ENTRIES))?;
        durable::sync_filesystem(boot)?;
        self.rest_journal();
        Ok(())
    }

    /// Lets boot loaders see what was written, which read no journal.
    pub(crate) fn rest_journal(&self) {
        if self.roots.is_running() {
            sysroot::rest_journal(self.roots.boot.dir.as_fd());
        }
    }

    /// Give up entries that were written and have not taken their place.
    pub(crate) fn forget_menu(&self) -> Result<(), RootError> {
        let boot = self.roots.boot.dir.as_fd();
        match rustix::fs::statat(boot, STAGED_ENTRIES, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            _ => Ok(durable::remove_all(boot, Path::new(STAGED_ENTRIES))?),
        }
    }
}
