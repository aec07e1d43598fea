//! Which deployments stay when one is added, and in which order.

use super::request::Retain;
use crate::{Deployment, DeploymentId, State, StaterootName};

/// A list of deployments as it will be: indices of those that stay, and where the new one goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) kept: Vec<usize>,
    /// Position of the new one among those that stay.
    pub(crate) position: usize,
}

/// What decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) stateroot: &'a StaterootName,
    pub(crate) booted: Option<&'a DeploymentId>,
    pub(crate) merge: Option<&'a DeploymentId>,
    pub(crate) retain: Retain,
    pub(crate) not_default: bool,
}

impl State {
    /// Deployments that would no longer boot once another one is deployed in front.
    #[must_use]
    pub fn dropped_by(
        &self,
        stateroot: &StaterootName,
        merge: Option<&DeploymentId>,
        retain: Retain,
    ) -> Vec<&DeploymentId> {
        let rules = Rules {
            stateroot,
            booted: self.booted().map(|booted| &booted.id),
            merge,
            retain,
            not_default: false,
        };
        let kept = select(&self.deployments, rules).kept;
        let all = self.deployments.iter().enumerate();
        all.filter(|(index, _)| !kept.contains(index))
            .map(|(_, deployment)| &deployment.id)
            .collect()
    }
}

/// The rules of libostree's `ostree_sysroot_simple_write_deployment`.
pub(crate) fn select(deployments: &[Deployment], rules: Rules<'_>) -> Selection {
    let (booted, merge) = (rules.booted, rules.merge);
    // Without a running one and one to merge from, nothing is pending or rolled back to.
    let all = rules.retain.all
        || (booted.is_none() && merge.is_none() && (rules.retain.pending || rules.retain.rollback));
    let mut kept = Vec::new();
    let mut position = (!rules.not_default).then_some(0);
    let (mut past_booted, mut past_merge) = (false, false);
    for (index, deployment) in deployments.iter().enumerate() {
        let is = |other: Option<&DeploymentId>| other == Some(&deployment.id);
        past_booted |= is(booted);
        past_merge |= is(merge);
        let past = if booted.is_some() {
            past_booted
        } else {
            past_merge
        };
        let stays = all
            || deployment.is_pinned()
            || deployment.id.stateroot != *rules.stateroot
            || (rules.retain.pending && !past)
            || is(booted)
            || is(merge)
            || (rules.retain.rollback && past);
        if stays {
            kept.push(index);
        }
        if past && position.is_none() {
            position = Some(kept.len());
        }
    }
    let position = position.unwrap_or(kept.len());
    Selection { kept, position }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, Unlocked};
    use boot_format::BlsEntry;
    use ostree_format::Checksum;

    fn id(name: &str) -> DeploymentId {
        let stateroot = if name.starts_with('x') { "other" } else { "os" };
        let commit = Checksum::of(name.as_bytes());
        DeploymentId {
            stateroot: stateroot.parse().unwrap(),
            commit,
            serial: 0,
        }
    }

    /// `!` behind a name pins, `x` in front is another stateroot.
    fn deployments(names: &[&str]) -> Vec<Deployment> {
        let deployment = |name: &&str| {
            let mut origin = Origin::new();
            origin.set_pinned(name.ends_with('!'));
            Deployment {
                id: id(name),
                boot_checksum: "a".repeat(64).parse().unwrap(),
                boot_serial: 0,
                entry: BlsEntry::new(),
                entry_file: None,
                origin: Some(origin),
                unlocked: Unlocked::None,
                problems: Vec::new(),
            }
        };
        names.iter().map(deployment).collect()
    }

    fn selected(
        names: &[&str],
        booted: &str,
        merge: &str,
        retain: Retain,
        not_default: bool,
    ) -> String {
        let deployments = deployments(names);
        let stateroot = "os".parse().unwrap();
        let ids = [booted, merge].map(|name| (!name.is_empty()).then(|| id(name)));
        let rules = Rules {
            stateroot: &stateroot,
            booted: ids[0].as_ref(),
            merge: ids[1].as_ref(),
            retain,
            not_default,
        };
        let selection = select(&deployments, rules);
        let mut list: Vec<_> = selection.kept.iter().map(|index| names[*index]).collect();
        list.insert(selection.position, "NEW");
        list.join(" ")
    }

    #[test]
    fn keeps_what_libostree_keeps() {
        let none = Retain::default();
        let names = ["p", "b", "r", "s!", "x"];
        assert_eq!(selected(&names, "b", "b", none, false), "NEW b s! x");
        assert_eq!(selected(&names, "", "p", none, false), "NEW p s! x");
        assert_eq!(selected(&names, "", "", none, false), "NEW s! x");
        assert_eq!(selected(&names, "b", "b", none, true), "b NEW s! x");
        assert_eq!(selected(&names, "", "", none, true), "s! x NEW");
        let pending = Retain {
            pending: true,
            ..none
        };
        let rollback = Retain {
            rollback: true,
            ..none
        };
        assert_eq!(selected(&names, "b", "b", pending, false), "NEW p b s! x");
        assert_eq!(selected(&names, "b", "b", rollback, false), "NEW b r s! x");
        assert_eq!(selected(&names, "", "", rollback, false), "NEW p b r s! x");
        assert_eq!(
            selected(&names, "", "b", Retain { all: true, ..none }, true),
            "p b NEW r s! x"
        );
    }
}
