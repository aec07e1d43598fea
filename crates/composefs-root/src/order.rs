//! Which deployment boots first.

use composefs_format::Digest;

use crate::{MenuChange, RootEntry, RootError, Roots};

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
    /// Let another deployment boot first, as [`MenuChange::First`] says.
    ///
    /// # Errors
    /// [`RootError::NoRollback`] and [`RootError::NoDeployment`]; nothing has changed.
    pub fn roll_back(&self, wanted: Option<&Digest>) -> Result<RolledBack, RootError> {
        let plan = self.change(&MenuChange::First(wanted.copied()))?;
        let first = plan.menu.iter().find_map(|entry| entry.id);
        Ok(RolledBack {
            first: first.ok_or(RootError::NoRollback)?,
            gave_up: plan.gives_up.is_some(),
        })
    }

    /// What boots first after a rollback.
    pub(crate) fn target(
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
