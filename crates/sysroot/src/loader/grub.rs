//! `grub.cfg`, which a program writes: a generator of the distribution, or `grub2-mkconfig`, whose hook
//! asks for the entries of the set that is named in its environment.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use boot_format::BootVersion;
use durable::IoContext as _;

use super::{GeneratedLoader, LoaderKind};
use crate::boot::BootError;
use crate::copy::{self, Place, Xattrs};
use crate::{BootPlan, Locked, dir};

/// Which set the hook of `grub2-mkconfig` is to read.
const BOOT_VERSION: &str = "_OSTREE_GRUB2_BOOTVERSION";
/// That the hook is to write for EFI.
const IS_EFI: &str = "_OSTREE_GRUB2_IS_EFI";

/// The directory of a configuration that is on the EFI system partition.
fn efi_directory(loader: &GeneratedLoader) -> Option<&str> {
    let path = loader.because.strip_suffix("/grub.cfg")?;
    let is_efi = loader.kind == LoaderKind::Grub2 && path.starts_with("boot/efi/");
    is_efi.then_some(path)
}

impl Locked<'_> {
    /// Let the configuration be generated: where the entries are, or beside the one that EFI reads.
    pub(super) fn generate_grub_config(
        &self,
        loader: &GeneratedLoader,
        version: BootVersion,
    ) -> Result<(), BootError> {
        let efi = efi_directory(loader);
        let target = match efi {
            Some(directory) => format!("{directory}/grub.cfg.new"),
            None => format!("boot/{}/grub.cfg", version.loader_dir()),
        };
        durable::remove_all(self.boot_root(), Path::new(&target))?;
        self.run_generator(&target, version, efi.is_some())?;
        if let Some(directory) = efi {
            durable::sync_filesystem(dir::open(self.boot_root(), directory)?.as_fd())?;
        }
        Ok(())
    }

    fn run_generator(
        &self,
        target: &str,
        version: BootVersion,
        efi: bool,
    ) -> Result<(), BootError> {
        let mkconfig = Path::new("grub2-mkconfig");
        let program = self.options.grub_generator.as_deref().unwrap_or(mkconfig);
        let mut command = Command::new(program);
        command
            .args(["-o", target])
            .env(BOOT_VERSION, version.to_string());
        if efi {
            command.env(IS_EFI, "1");
        }
        self.run_loader_program(command)
    }

    /// Put the configuration that EFI reads in its place, and keep the one before as `grub.cfg.old`.
    pub(crate) fn switch_efi_config(&self, plan: &BootPlan) -> Result<(), BootError> {
        let Some(directory) = plan.loader.as_ref().and_then(efi_directory) else {
            return Ok(());
        };
        let directory = dir::open(self.boot_root(), directory)?;
        let old = Path::new("grub.cfg.old");
        durable::remove_all(directory.as_fd(), old)?;
        let place = |name| Place::new(directory.as_fd(), name);
        copy::leaf(place(Path::new("grub.cfg")), place(old), Xattrs::LeaveOut)?;
        rustix::fs::renameat(&directory, "grub.cfg.new", &directory, "grub.cfg")
            .during("switch", "grub.cfg")?;
        durable::sync_filesystem(directory.as_fd())?;
        Ok(())
    }
}
