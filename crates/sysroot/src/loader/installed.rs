//! Boot loaders that are installed anew with each set of entries, by a program: `zipl` of IBM Z, `aboot-deploy` for
//! Android Boot.
//!
//! A stamp is set with the new entries and goes when the program has succeeded: as long as it is there, what boots is not
//! what the entries say.

use std::path::Path;
use std::process::Command;

use super::LoaderKind;
use crate::boot::BootError;
use crate::{BootPlan, Locked, PlannedEntry, dir};

/// That the boot loader has still to be installed, below the root.
const STAMP: &str = "boot/ostree-bootloader-update.stamp";

/// That the firmware checks signatures: then `zipl` must sign, too.
const SECURE_IPL: &str = "/sys/firmware/ipl/secure";

/// Whether it is installed rather than configured.
pub(super) const fn is_installed(kind: LoaderKind) -> bool {
    matches!(kind, LoaderKind::Zipl | LoaderKind::AndroidBoot)
}

impl Locked<'_> {
    /// Note that the boot loader has to be installed.
    pub(super) fn stamp_loader(&self) -> Result<(), BootError> {
        Ok(durable::publish_no_sync(
            self.boot_root(),
            Path::new(STAMP),
            b"",
            0o644,
        )?)
    }

    /// Install the boot loader of a plan whose entries are active, where it is one that has to be.
    pub(crate) fn install_loader(&self, plan: &BootPlan) -> Result<(), BootError> {
        let kind = plan.loader.as_ref().map(|loader| loader.kind);
        let Some(kind) = kind.filter(|kind| is_installed(*kind)) else {
            return Ok(());
        };
        let first = plan.entries.first().ok_or_else(|| BootError::Generator {
            program: kind.to_string(),
            cause: "there is no boot entry".to_owned(),
        })?;
        let command = match kind {
            LoaderKind::Zipl => zipl(),
            _ => aboot(first)?,
        };
        self.run_loader_program(command)?;
        Ok(dir::unlink_optional(self.boot_root(), STAMP)?)
    }
}

fn zipl() -> Command {
    let secure = std::fs::read_to_string(SECURE_IPL).is_ok_and(|text| text.contains('1'));
    let mut command = Command::new("zipl");
    command.args(["--secure", if secure { "1" } else { "auto" }, "-V"]);
    command
}

fn aboot(entry: &PlannedEntry) -> Result<Command, BootError> {
    let value = |key: &str| match entry.entry.get(key) {
        Some(value) => Ok(value.to_owned()),
        None => Err(BootError::Generator {
            program: "aboot-deploy".to_owned(),
            cause: format!("the boot entry of {} has no {key:?}", entry.deployment),
        }),
    };
    let mut command = Command::new("aboot-deploy");
    command.args(["-r", ".", "-c", &value("abootcfg")?]);
    command.args(["-o", &value("options")?, &value("aboot")?]);
    Ok(command)
}
