//! Boot links: `ostree/boot.N.M/STATEROOT/BOOTCSUM/SERIAL`, each leading to a deployment.

use std::os::fd::AsFd as _;
use std::path::Path;

use boot_format::{BootVersion, SubBootVersion};
use durable::{Error, IoContext as _};

use super::plan::PlannedEntry;
use crate::{Sysroot, dir};

impl Sysroot {
    /// Make the directory of links that is not active afresh.
    pub(super) fn create_links(
        &self,
        version: BootVersion,
        sub: SubBootVersion,
        entries: &[PlannedEntry],
    ) -> Result<(), Error> {
        let path = format!("ostree/{}", sub.link_dir(version));
        durable::remove_all(self.dir(), Path::new(&path))?;
        dir::make_all(self.dir(), &path, 0o755)?;
        let links = dir::open(self.dir(), &path)?;
        for entry in entries {
            let parent = format!("{}/{}", entry.deployment.stateroot, entry.kernel.checksum);
            dir::make_all(links.as_fd(), &parent, 0o755)?;
            let link = format!("{parent}/{}", entry.boot_serial);
            rustix::fs::symlinkat(entry.deployment.link_target(), &links, &link)
                .during("create link", &link)?;
        }
        Ok(())
    }

    /// Point `ostree/boot.N` to its other directory of links, in one step.
    pub(super) fn switch_links(
        &self,
        version: BootVersion,
        sub: SubBootVersion,
    ) -> Result<(), Error> {
        let ostree = dir::open(self.dir(), "ostree")?;
        let (link, target) = (version.link_name(), sub.link_dir(version));
        replace_link(ostree.as_fd(), &link, &target)
    }
}

/// Replace a symbolic link in one step. The name of the temporary one is always the same, so that one
/// that an interrupted call left behind is found.
pub(super) fn replace_link(
    dir: std::os::fd::BorrowedFd<'_>,
    link: &str,
    target: &str,
) -> Result<(), Error> {
    let temporary = format!("{link}.tmp");
    dir::unlink_optional(dir, &temporary)?;
    rustix::fs::symlinkat(target, dir, &temporary).during("create link", &temporary)?;
    rustix::fs::renameat(dir, &temporary, dir, link).during("switch link", link)
}
