//! What letting an image boot would do.

use std::os::fd::{AsFd as _, BorrowedFd};

use composefs_format::Digest;
use durable::IoContext as _;

use crate::directory::names_in;
use crate::{RootEntry, RootError, RootRequest, Roots};

/// Where kernels are.
const MODULES: &str = "usr/lib/modules";

/// What a new deployment needs of the file system that boots it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct BootSpace {
    /// Where that is usually mounted: `/boot`, `/boot/efi` or `/efi`.
    pub place: &'static str,
    /// What is new there.
    pub needed: u64,
    /// What is free there.
    pub available: u64,
}

/// What deploying an image does.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct RootPlan {
    /// The entries that boot afterwards, in the order of the menu.
    pub menu: Vec<RootEntry>,
    /// Deployments that are removed, because nothing boots them any more.
    pub removed: Vec<String>,
    /// Its kernel.
    pub boot: BootSpace,
    /// The version of that, where it is no unified kernel image.
    pub kernel: Option<String>,
}

impl Roots {
    /// What [`Self::deploy`] would do, of an image that is in the repository.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn plan_deploy(&self, request: &RootRequest) -> Result<RootPlan, RootError> {
        let image = self.open_image(&request.id)?;
        let menu = self.menu()?;
        let source = self.boot_source(request, &image)?;
        let installed = self.installed(&request.id, &source)?;
        let (size, kernel) = (source.size()?, source.version());
        let name = installed.unwrap_or(request.id);
        let entry = self.entry(request, &image, &menu, &source, &name)?;
        let before: Vec<_> = menu.iter().filter_map(|entry| entry.id).collect();
        let menu = self.menu_with(entry, menu, request.retain);
        Ok(RootPlan {
            removed: self.not_in(&menu, before.into_iter()),
            menu,
            boot: BootSpace {
                needed: installed.map_or(size, |_| 0),
                ..self.boot_space(source.is_unified())?
            },
            kernel,
        })
    }

    /// Where kernels come, with as many bytes as that of the deployment that boots first has: that of the next one may
    /// be as large.
    ///
    /// # Errors
    /// What the system said.
    pub fn space_like_first(&self) -> Result<BootSpace, RootError> {
        let menu = self.menu()?;
        let first = menu.iter().find(|entry| entry.id.is_some());
        let unified = first.is_some_and(RootEntry::is_unified);
        let needed = match first.and_then(RootEntry::boot_files) {
            Some(digest) => self.size_of(&digest, unified)?,
            None => 0,
        };
        Ok(BootSpace {
            needed,
            ..self.boot_space(unified)?
        })
    }

    /// Deployments that one more drives out.
    ///
    /// # Errors
    /// What the system said.
    pub fn driven_out(&self) -> Result<Vec<String>, RootError> {
        let menu = self.menu()?;
        let before = self.booted().map(|argument| argument.digest);
        let before = before.or_else(|| menu.iter().find_map(|entry| entry.id));
        let ids = menu.iter().filter_map(|entry| entry.id);
        let gone = ids.filter(|id| Some(*id) != before && !self.is_pinned(id));
        Ok(gone.map(|id| id.to_string()).collect())
    }

    /// The version of the kernel that an image has, as far as that is in the name of its directory.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn kernel(&self, id: &Digest) -> Result<Option<String>, RootError> {
        let image = self.open_image(id)?;
        let mut found = None;
        for (name, _) in names_in(image.fd(), MODULES)? {
            if image.open(&format!("{MODULES}/{name}/vmlinuz"))?.is_some() {
                found = Some(name);
            }
        }
        Ok(found)
    }

    fn boot_space(&self, unified: bool) -> Result<BootSpace, RootError> {
        let esp = self.esp.as_ref().filter(|_| unified);
        let (dir, place) = match esp {
            Some(esp) => (esp.as_fd(), self.esp_place),
            None if self.boots_by_systemd_boot() => (self.boot.dir.as_fd(), self.esp_place),
            None => (self.boot.dir.as_fd(), "/boot"),
        };
        Ok(BootSpace {
            place,
            needed: 0,
            available: free_in(dir, place)?,
        })
    }
}

/// The bytes that are free.
pub(crate) fn free_in(dir: BorrowedFd<'_>, place: &str) -> Result<u64, durable::Error> {
    let stat = rustix::fs::fstatvfs(dir).during("look at", place)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
