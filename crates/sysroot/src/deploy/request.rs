use boot_format::{KernelArgError, KernelArgs};
use ostree_format::Checksum;

use crate::{DeploymentId, Origin, OverlayInitrd, StaterootName};

/// What is to be deployed.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// Where to.
    pub stateroot: StaterootName,
    /// What.
    pub commit: Checksum,
    /// What is remembered about where it came from; no file is written for `None`.
    pub origin: Option<Origin>,
    /// Its kernel arguments.
    pub kernel_args: KernelArgsEdit,
    /// Whose `/etc` and kernel arguments it inherits.
    pub merge: MergeFrom,
    /// Which other deployments of the stateroot stay.
    pub retain: Retain,
    /// Put it behind the running or merged deployment instead of in front (`--not-as-default`).
    pub not_default: bool,
    /// Additional initrds (`--overlay-initrd`). They are not inherited.
    pub overlay_initrds: Vec<OverlayInitrd>,
}

/// Whose `/etc` and kernel arguments a deployment inherits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeFrom {
    /// The running deployment if it is of the stateroot, else the first of the stateroot; nobody if
    /// there is none.
    #[default]
    Usual,
    /// Nobody (`--no-merge`).
    Nothing,
    /// This one.
    Deployment(DeploymentId),
}

/// Which deployments stay besides the running one, the one merged from, pinned ones, and those of
/// other stateroots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "three independent switches")]
pub struct Retain {
    /// All (`--retain`).
    pub all: bool,
    /// Those that boot before the running one (`--retain-pending`).
    pub pending: bool,
    /// Those that boot after the running one (`--retain-rollback`).
    pub rollback: bool,
}

/// How kernel arguments come about: a base, then replacements, additions and deletions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelArgsEdit {
    /// What is started from.
    pub base: ArgsBase,
    /// Arguments that replace those with the same key (`--karg`).
    pub set: Vec<String>,
    /// Arguments that are added (`--karg-append`).
    pub append: Vec<String>,
    /// Arguments that are deleted if they are there (`--karg-delete`).
    pub delete: Vec<String>,
}

/// What kernel arguments are started from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgsBase {
    /// Those of the deployment that is merged from, none if there is no such.
    #[default]
    Merge,
    /// None (`--karg-none`).
    Nothing,
    /// These, for example those of the running kernel.
    Args(KernelArgs),
}

impl DeployRequest {
    /// Deploy `commit` with everything else as usual.
    #[must_use]
    pub fn new(stateroot: StaterootName, commit: Checksum) -> Self {
        Self {
            stateroot,
            commit,
            origin: None,
            kernel_args: KernelArgsEdit::default(),
            merge: MergeFrom::default(),
            retain: Retain::default(),
            not_default: false,
            overlay_initrds: Vec::new(),
        }
    }
}

impl KernelArgsEdit {
    /// The arguments, given those of the deployment that is merged from.
    ///
    /// # Errors
    /// A deletion that is ambiguous.
    pub fn resolve(&self, merge: Option<&KernelArgs>) -> Result<KernelArgs, KernelArgError> {
        let mut args = match &self.base {
            ArgsBase::Merge => merge.cloned().unwrap_or_default(),
            ArgsBase::Nothing => KernelArgs::new(),
            ArgsBase::Args(args) => args.clone(),
        };
        self.set.iter().for_each(|arg| args.set(arg));
        self.append.iter().for_each(|arg| args.append(arg));
        self.delete
            .iter()
            .try_for_each(|arg| args.delete_if_present(arg))?;
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_follow_each_other() {
        let merge = KernelArgs::parse("rw root=LABEL=a ostree=/x quiet");
        let strings = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let edit = KernelArgsEdit {
            base: ArgsBase::Merge,
            set: strings(&["root=LABEL=b", "new=1"]),
            append: strings(&["new=2 x=y"]),
            delete: strings(&["quiet", "absent"]),
        };
        let args = edit.resolve(Some(&merge)).unwrap().to_string();
        assert_eq!(args, "rw root=LABEL=b ostree=/x new=1 new=2 x=y");
        assert!(KernelArgsEdit::default().resolve(None).unwrap().is_empty());
    }
}
