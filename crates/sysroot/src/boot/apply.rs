//! Writing what a [`BootPlan`] says.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use boot_format::{BootVersion, SubBootVersion};
use durable::{Error, IoContext as _, crash_point};
use file_contexts::Policy;
use progress::{Progress, Task, TaskKind};
use rustix::io::Errno;

use super::{BootError, BootPlan, BootSwitch};
use crate::{Locked, dir};

/// The link that is prepared before everything is synced, and only renamed afterwards.
const NEXT_LOADER: &str = "loader.tmp";

impl Locked<'_> {
    /// Make the planned deployments the ones that boot.
    pub(crate) fn apply_boot(
        &self,
        plan: &BootPlan,
        policy: Option<&Policy>,
        progress: &dyn Progress,
    ) -> Result<(), BootError> {
        match plan.switch {
            BootSwitch::Nothing => return Ok(()),
            BootSwitch::Links { version, to } => self.switch_deployments(plan, version, to)?,
            BootSwitch::Entries { to, links } => {
                self.switch_entries(plan, (to, links), policy, progress)?;
            }
        }
        crash_point("sysroot:switched");
        self.touch()?;
        Ok(())
    }

    /// Other deployments behind the same entries.
    fn switch_deployments(
        &self,
        plan: &BootPlan,
        version: BootVersion,
        to: SubBootVersion,
    ) -> Result<(), BootError> {
        self.create_links(version, to, &plan.entries)?;
        crash_point("sysroot:links-written");
        self.sync()?;
        if self.options.test_freeze {
            self.settle_boot(self.boot()?.as_fd())?;
        }
        crash_point("sysroot:synced");
        self.switch_links(version, to)?;
        // What is no longer led to is removed next: by then the switch has to be on disk.
        let ostree = dir::open(self.dir(), "ostree")?;
        durable::sync_dir(ostree.as_fd())?;
        Ok(())
    }

    /// Other entries: everything that belongs to them is written to the set that is not active.
    fn switch_entries(
        &self,
        plan: &BootPlan,
        (version, links): (BootVersion, SubBootVersion),
        policy: Option<&Policy>,
        progress: &dyn Progress,
    ) -> Result<(), BootError> {
        let boot = self.boot()?;
        self.install_kernels(boot.as_fd(), plan, policy, progress)?;
        self.write_entries(boot.as_fd(), plan, version, progress)?;
        self.write_loader_config(plan, version)?;
        self.create_links(version, links, &plan.entries)?;
        crash_point("sysroot:links-written");
        self.switch_links(version, links)?;
        self.prepare_loader(boot.as_fd(), version)?;
        self.sync()?;
        self.settle_boot(boot.as_fd())?;
        crash_point("sysroot:synced");
        self.switch_efi_config(plan)?;
        rustix::fs::renameat(&boot, NEXT_LOADER, &boot, "loader")
            .during("switch", "boot/loader")?;
        durable::sync_dir(boot.as_fd())?;
        self.settle_boot(boot.as_fd())?;
        self.install_loader(plan)
    }

    fn install_kernels(
        &self,
        boot: BorrowedFd<'_>,
        plan: &BootPlan,
        policy: Option<&Policy>,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let total = plan.entries.iter().map(|entry| entry.kernel.size()).sum();
        let task = Task::begin(progress, TaskKind::InstallKernel, Some(total));
        for entry in &plan.entries {
            self.install_kernel(boot, entry, policy, &task)?;
        }
        task.done();
        Ok(())
    }

    fn write_entries(
        &self,
        boot: BorrowedFd<'_>,
        plan: &BootPlan,
        version: BootVersion,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let count = plan.entries.len() as u64;
        let task = Task::begin(progress, TaskKind::WriteBootEntries, Some(count));
        let path = format!("{}/entries", version.loader_dir());
        durable::remove_all(boot, Path::new(&path))?;
        dir::make_all(boot, &path, 0o755)?;
        let entries = dir::open(boot, &path)?;
        for entry in &plan.entries {
            let text = entry.entry.to_string();
            durable::publish_no_sync(
                entries.as_fd(),
                Path::new(&entry.file),
                text.as_bytes(),
                0o644,
            )?;
            crash_point("sysroot:entry-written");
            task.advance(1);
        }
        task.done();
        Ok(())
    }

    /// Everything but the last rename. The link `boot/boot` lets entries with the prefix `/boot` be
    /// read whether `/boot` is a file system of its own or not.
    fn prepare_loader(&self, boot: BorrowedFd<'_>, version: BootVersion) -> Result<(), Error> {
        match rustix::fs::symlinkat(".", boot, "boot") {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).during("create link", "boot/boot"),
        }
        dir::unlink_optional(boot, NEXT_LOADER)?;
        rustix::fs::symlinkat(version.loader_dir(), boot, NEXT_LOADER)
            .during("create link", NEXT_LOADER)
    }

    /// Sync what deployments and `/boot` are on.
    pub(crate) fn sync(&self) -> Result<(), BootError> {
        durable::sync_filesystem(self.repo().dir())?;
        let boot = self.boot()?;
        if dir::device(boot.as_fd())? != dir::device(self.repo().dir())? {
            durable::sync_filesystem(boot.as_fd())?;
        }
        Ok(())
    }
}
