//! Removing a stateroot of roots that are images of composefs, with its `/var`.

use std::os::fd::AsFd as _;

use composefs_root::{MenuChange, RootDeployment};
use sysroot::{StaterootName, occupied_bytes};

use crate::{BootedComposefs, Change, ChangeError, ChangeOptions, RemovedStateroot};

impl BootedComposefs {
    pub(crate) fn remove_root_stateroot(
        &self,
        stateroot: &StaterootName,
        with_deployments: bool,
        options: &ChangeOptions,
    ) -> Result<RemovedStateroot, ChangeError> {
        let name = stateroot.to_string();
        if !self.roots.stateroots()?.contains(&name) {
            return Err(ChangeError::NoStateroot(stateroot.clone()));
        }
        if self.roots.running_stateroot()?.as_ref() == Some(&name) {
            return Err(ChangeError::StaterootRuns(stateroot.clone()));
        }
        let all = self.roots.deployments()?;
        let is_of_it = |one: &&RootDeployment| self.roots.stateroot(&one.id) == name;
        let its: Vec<_> = all.iter().filter(is_of_it).collect();
        if !its.is_empty() && !with_deployments {
            return Err(ChangeError::StaterootDeployed(stateroot.clone()));
        }
        if !its.is_empty() && its.len() == all.len() {
            return Err(ChangeError::NothingWouldBoot(stateroot.clone()));
        }
        let change = self.undeploy_all_of(&its, options)?;
        let var_bytes = occupied_bytes(self.physical.as_fd(), &format!("state/os/{name}/var"))?;
        if !options.dry_run && !self.roots.remove_stateroot(&name)? {
            return Err(ChangeError::StaterootDeployed(stateroot.clone()));
        }
        let collected = (!options.dry_run).then_some(0);
        Ok(RemovedStateroot::new(
            stateroot.clone(),
            var_bytes,
            change,
            collected,
        ))
    }

    /// One after the other; the answer is that of the last one, with what all of them removed.
    fn undeploy_all_of(
        &self,
        deployments: &[&RootDeployment],
        options: &ChangeOptions,
    ) -> Result<Option<Change>, ChangeError> {
        let mut whole: Option<Change> = None;
        for one in deployments {
            let change = match one.staged {
                true => MenuChange::GiveUp,
                false => MenuChange::Remove(one.id),
            };
            let mut change = self.change(&change, options)?;
            if let Some(before) = whole {
                change.removed.extend(before.removed);
                change.discarded_stage = change.discarded_stage.or(before.discarded_stage);
            }
            whole = Some(change);
        }
        Ok(whole.map(|mut change| {
            change
                .boots
                .retain(|entry| !change.removed.contains(&entry.deployment));
            change
        }))
    }
}
