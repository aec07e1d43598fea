//! Making a directory a sysroot.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use ostree::Repo;
use ostree_format::RepoMode;

use crate::dir;
use crate::sysroot::{OpenSysrootError, REPO, Sysroot, SysrootOptions};

/// What a physical root gets (`ostree admin init-fs --epoch`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// Mount points and directories of a traditional root beside `boot` and `ostree` (epoch 0).
    Traditional,
    /// Only `boot` and `ostree` (epoch 1, `--modern`).
    #[default]
    Modern,
    /// As modern, but nobody but root may look into `ostree` (epoch 2).
    Private,
}

impl Sysroot {
    /// Make what is missing of a sysroot in `dir`, with a repository of mode `bare`, and open it.
    ///
    /// Safe to call again, and on a sysroot in use: what is there keeps its mode, only the sticky
    /// `tmp` of the traditional layout is set right.
    ///
    /// # Errors
    /// [`OpenSysrootError`]; what was made until then stays and is completed by calling again.
    pub fn create(
        dir: OwnedFd,
        layout: Layout,
        options: SysrootOptions,
    ) -> Result<Self, OpenSysrootError> {
        use std::os::fd::AsFd as _;
        make_toplevel(dir.as_fd(), layout)?;
        dir::make_all(dir.as_fd(), REPO, 0o755)?;
        dir::make_all(dir.as_fd(), "ostree/deploy", 0o755)?;
        Repo::init_at(dir.as_fd(), Path::new(REPO), RepoMode::Bare)?;
        Self::open(dir, options, None)
    }
}

fn make_toplevel(root: BorrowedFd<'_>, layout: Layout) -> Result<(), durable::Error> {
    dir::make_all(root, "boot", 0o755)?;
    match layout {
        Layout::Modern => Ok(()),
        Layout::Private => dir::make_all(root, "ostree", 0o700),
        Layout::Traditional => {
            for name in ["dev", "home", "proc", "run", "sys"] {
                dir::make_all(root, name, 0o755)?;
            }
            dir::make_all(root, "root", 0o700)?;
            dir::make_all(root, "tmp", 0o1777)
        }
    }
}
