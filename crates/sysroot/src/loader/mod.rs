//! Boot loaders that do not read boot entries themselves: their configuration is written from them, or they are
//! installed anew.
//!
//! It is a file in the set of entries, and the boot loader reads it through `boot/loader`, so it changes
//! in the same step as the entries. Only GRUB for EFI has a place of its own, which is replaced before.
//! Source: what `ostree admin deploy` writes for each.

mod detect;
mod grub;
mod installed;
mod syslinux;
mod uboot;

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process::{Command, Stdio};

use boot_format::{BlsEntry, BootVersion};

pub use self::detect::{GeneratedLoader, LoaderKind};
use self::detect::{SYSLINUX, detect};
use crate::boot::BootError;
use crate::{BootPlan, Locked, Sysroot, dir};

/// Largest configuration that is read.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

impl Sysroot {
    /// The loader whose configuration has to be written.
    pub(crate) fn served_loader(&self) -> Result<Option<GeneratedLoader>, BootError> {
        let Some(loader) = detect(self.boot_root(), self.boot_config.bootloader)? else {
            return Ok(None);
        };
        let served = match loader.kind {
            LoaderKind::Syslinux | LoaderKind::UBoot => true,
            LoaderKind::Grub2 => self.options.grub_generator.is_some() || self.is_running(),
            // `zipl` sees nothing but the running system.
            LoaderKind::Zipl => self.is_running(),
            LoaderKind::AndroidBoot => true,
        };
        if served {
            Ok(Some(loader))
        } else {
            Err(BootError::Loader(loader))
        }
    }

    fn read_config(&self, path: &str) -> Result<Option<String>, durable::Error> {
        let bytes = durable::read_optional(self.root_of(path), Path::new(path), MAX_CONFIG)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

impl Locked<'_> {
    /// Run a program that belongs to the boot loader, in the root that has `boot`, whatever that is called. What it
    /// says is told only when it fails.
    fn run_loader_program(&self, mut command: Command) -> Result<(), BootError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |cause: String| BootError::Generator { program, cause };
        command.current_dir(format!("/proc/self/fd/{}", self.boot_root().as_raw_fd()));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => return Err(failed(error.to_string())),
        };
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {}", output.status, said.trim())))
    }

    /// Write the configuration that belongs to the planned entries into their set.
    pub(crate) fn write_loader_config(
        &self,
        plan: &BootPlan,
        version: BootVersion,
    ) -> Result<(), BootError> {
        let Some(loader) = &plan.loader else {
            return Ok(());
        };
        let entries: Vec<&BlsEntry> = plan.entries.iter().map(|entry| &entry.entry).collect();
        let (name, text) = match loader.kind {
            LoaderKind::Grub2 => return self.generate_grub_config(loader, version),
            kind if installed::is_installed(kind) => return self.stamp_loader(),
            LoaderKind::UBoot => {
                let own = plan.entries.first().map(|entry| {
                    format!("{}/usr/lib/ostree-boot/uEnv.txt", entry.deployment.path())
                });
                let own = own
                    .map(|path| self.read_config(&path))
                    .transpose()?
                    .flatten();
                let prefixed = self.boot_config.boot_prefix;
                (
                    "uEnv.txt",
                    uboot::render(&entries, own.as_deref(), prefixed),
                )
            }
            _ => {
                let current = self.read_config(SYSLINUX)?.unwrap_or_default();
                let prefixed = self.boot_config.boot_prefix;
                (
                    "syslinux.cfg",
                    syslinux::render(&current, &entries, prefixed),
                )
            }
        };
        let set = dir::open(self.boot_root(), format!("boot/{}", version.loader_dir()))?;
        durable::publish_no_sync(set.as_fd(), Path::new(name), text.as_bytes(), 0o644)?;
        Ok(())
    }
}
