//! Which deployment boots first.

use composefs_format::Digest;

use crate::{RootEntry, RootError, Roots};

/// What a rollback did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct RolledBack {
    /// What boots first from now on.
    pub first: Digest,
    /// Whether something that was staged was given up for it.
    pub gave_up: bool,
}

impl Roots {
    /// Let another deployment boot first: `wanted`, if that is said. Else what is staged is given up; or, when another
    /// one than the running deployment is first, the running one is again; or the one behind it is.
    ///
    /// # Errors
    /// [`RootError::NoRollback`] and [`RootError::NoDeployment`]; nothing has changed.
    pub fn roll_back(&self, wanted: Option<&Digest>) -> Result<RolledBack, RootError> {
        let locked = self.lock()?;
        let staged = self.staged()?;
        let gave_up = staged.is_some();
        let menu = self.menu()?;
        let first = self.target(&menu, wanted, gave_up)?;
        locked.give_up_stage()?;
        if menu.iter().find_map(|entry| entry.id) != Some(first) {
            let mut menu = menu;
            // Sorting keeps the order of the others.
            menu.sort_by_key(|entry| entry.id != Some(first));
            locked.write_menu(menu)?;
            locked.switch_menu()?;
        }
        locked.collect()?;
        Ok(RolledBack { first, gave_up })
    }

    fn target(
        &self,
        menu: &[RootEntry],
        wanted: Option<&Digest>,
        is_staged: bool,
    ) -> Result<Digest, RootError> {
        let mut ids = menu.iter().filter_map(|entry| entry.id);
        if let Some(wanted) = wanted {
            let found = ids.find(|id| id == wanted);
            return found.ok_or_else(|| RootError::NoDeployment(wanted.to_string()));
        }
        let first = ids.next().ok_or(RootError::NoRollback)?;
        if is_staged {
            return Ok(first);
        }
        match self.booted() {
            Some(booted) if booted.digest != first => Ok(booted.digest),
            _ => ids.next().ok_or(RootError::NoRollback),
        }
    }
}
