//! The state of deployments: `/etc`, `/var`, the origin.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use sysroot::{ChangedEtc, make_etc};

use crate::directory::names_in;
use crate::layout::{STATE, STATEROOTS};
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::{RootError, RootOrigin, Roots};

/// Largest origin that is read.
const MAX_ORIGIN: u64 = 1024 * 1024;

/// What a state that is being made is called by, before its digest.
const BEGUN: &str = ".tmp-";

/// The new `/etc` of a deployment before it takes its place.
const NEW_ETC: &str = ".etc.tmp";

/// systemd would take an `/etc` with this file for one that it has seen already.
const UPDATED: &str = ".updated";

impl Roots {
    /// The directory of a deployment's state, below the physical root.
    pub(crate) fn state_path(id: &Digest) -> String {
        format!("{STATE}/{id}")
    }

    pub(crate) fn has_state(&self, id: &Digest) -> bool {
        let path = Self::state_path(id);
        rustix::fs::statat(&self.physical, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The names of all states, also of those that were begun.
    pub(crate) fn states(&self) -> Result<Vec<String>, RootError> {
        let names = names_in(self.physical.as_fd(), STATE)?;
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }

    /// Where a deployment comes from; `None` when it has no origin.
    ///
    /// # Errors
    /// [`RootError::Origin`] when it is damaged.
    pub fn origin(&self, id: &Digest) -> Result<Option<RootOrigin>, RootError> {
        let path = format!("{}/{id}.origin", Self::state_path(id));
        let physical = self.physical.as_fd();
        let Some(bytes) = durable::read_optional(physical, Path::new(&path), MAX_ORIGIN)? else {
            return Ok(None);
        };
        Ok(Some(RootOrigin::parse(&String::from_utf8_lossy(&bytes))?))
    }

    /// The `/etc` of a deployment as it is now: of the running one what is mounted, of others what is kept.
    pub(crate) fn current_etc(&self, id: &Digest) -> Result<Option<OwnedFd>, RootError> {
        let running = self.running.as_ref();
        let running = running.filter(|running| running.argument.digest == *id);
        let (base, path) = match running {
            Some(running) => (&running.root, "etc".to_owned()),
            None => (&self.physical, format!("{}/etc", Self::state_path(id))),
        };
        open_optional(base.as_fd(), &path)
    }

    /// The default of a deployment's `/etc` and what has become of it; `None` where one is missing, which is no change.
    pub(crate) fn changed_etc(&self, id: &Digest) -> Result<Option<(OwnedFd, OwnedFd)>, RootError> {
        let Some(current) = self.current_etc(id)? else {
            return Ok(None);
        };
        let default = self.open_image(id)?.etc()?;
        Ok(default.map(|default| (default, current)))
    }
}

fn open_optional(base: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>, RootError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(base, path, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Ok(Err(error).during("open directory", path)?),
    }
}

impl Locked<'_> {
    /// Make the state of a deployment, in one step. Of one that is there only the origin changes. What is local in
    /// the `/etc` of `local` is carried over; `/var` is that of all deployments.
    pub(crate) fn make_state(
        &self,
        id: &Digest,
        image: &ImageRoot,
        origin: &RootOrigin,
        local: Option<&Digest>,
        stateroot: &str,
    ) -> Result<(), RootError> {
        let physical = self.roots.physical.as_fd();
        let place = Roots::state_path(id);
        if self.roots.has_state(id) {
            let origin = origin.clone().pinned(self.roots.is_pinned(id));
            return self.write_origin(&place, id, &origin);
        }
        let begun = format!("{STATE}/{BEGUN}{id}");
        self.fill_state(&begun, id, image, origin, local, stateroot)?;
        crash_point("roots:state-made");
        rustix::fs::renameat(physical, &begun, physical, &place).during("rename over", &place)?;
        Ok(())
    }

    /// Make the directory of a state, where nobody looks for it yet.
    pub(crate) fn fill_state(
        &self,
        begun: &str,
        id: &Digest,
        image: &ImageRoot,
        origin: &RootOrigin,
        local: Option<&Digest>,
        stateroot: &str,
    ) -> Result<(), RootError> {
        let physical = self.roots.physical.as_fd();
        self.make_var(image, stateroot)?;
        durable::remove_all(physical, Path::new(begun))?;
        durable::create_dir_all(physical, Path::new(begun), 0o755)?;
        self.write_origin(begun, id, origin)?;
        self.link_var(begun, stateroot)?;
        self.fill_etc(&format!("{begun}/etc"), image, local)?;
        Ok(durable::sync_filesystem(physical)?)
    }

    fn link_var(&self, state: &str, stateroot: &str) -> Result<(), RootError> {
        let (link, target) = (format!("{state}/var"), format!("../../os/{stateroot}/var"));
        let physical = self.roots.physical.as_fd();
        durable::replace_symlink(physical, Path::new(&link), Path::new(&target))?;
        Ok(())
    }

    /// Make the `/etc` of a deployment anew from its image, with what is local in that of `local`. It takes its place
    /// in one step.
    pub(crate) fn renew_etc(
        &self,
        id: &Digest,
        image: &ImageRoot,
        local: &Digest,
    ) -> Result<(), RootError> {
        let physical = self.roots.physical.as_fd();
        let (new, etc) = (self.make_new_etc(id, image, local)?, Roots::etc_path(id));
        let exchanged =
            rustix::fs::renameat_with(physical, &new, physical, &etc, RenameFlags::EXCHANGE);
        exchanged.during("rename over", &etc)?;
        durable::sync_filesystem(physical)?;
        crash_point("roots:etc-renewed");
        Ok(durable::remove_all(physical, Path::new(&new))?)
    }

    /// Make it beside the one that there is; the path below the physical root.
    pub(crate) fn make_new_etc(
        &self,
        id: &Digest,
        image: &ImageRoot,
        local: &Digest,
    ) -> Result<String, RootError> {
        let physical = self.roots.physical.as_fd();
        let state = Roots::state_path(id);
        let new = format!("{state}/{NEW_ETC}");
        durable::remove_all(physical, Path::new(&new))?;
        self.fill_etc(&new, image, Some(local))?;
        // It may be from before a reset.
        let stateroot = self.roots.stateroot(local);
        if self.roots.stateroot(id) != stateroot {
            self.link_var(&state, &stateroot)?;
        }
        durable::sync_filesystem(physical)?;
        crash_point("roots:etc-made");
        Ok(new)
    }

    fn write_origin(&self, state: &str, id: &Digest, origin: &RootOrigin) -> Result<(), RootError> {
        let path = format!("{state}/{id}.origin");
        let (physical, text) = (self.roots.physical.as_fd(), origin.to_string());
        durable::publish_no_sync(physical, Path::new(&path), text.as_bytes(), 0o644)?;
        Ok(())
    }

    /// The `/var` of all deployments is that of the first image.
    fn make_var(&self, image: &ImageRoot, stateroot: &str) -> Result<(), RootError> {
        let physical = self.roots.physical.as_fd();
        let parent = format!("{STATEROOTS}/{stateroot}");
        let var = format!("{parent}/var");
        if rustix::fs::statat(physical, &var, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(());
        }
        let begun = format!("{var}.tmp");
        durable::remove_all(physical, Path::new(&begun))?;
        durable::create_dir_all(physical, Path::new(&parent), 0o755)?;
        match image.open("var")? {
            // A directory is a directory: it is copied in the same way.
            Some(var) => make_etc(var.as_fd(), (physical, Path::new(&begun)), None)?,
            None => durable::create_dir_all(physical, Path::new(&begun), 0o755)?,
        }
        durable::sync_filesystem(physical)?;
        rustix::fs::renameat(physical, &begun, physical, &var).during("rename over", &var)?;
        Ok(())
    }

    fn fill_etc(
        &self,
        etc: &str,
        image: &ImageRoot,
        local: Option<&Digest>,
    ) -> Result<(), RootError> {
        let physical = self.roots.physical.as_fd();
        let into = (physical, Path::new(etc));
        let Some(default) = image.etc()? else {
            return Ok(durable::create_dir_all(physical, into.1, 0o755)?);
        };
        match local
            .map(|id| self.roots.changed_etc(id))
            .transpose()?
            .flatten()
        {
            None => make_etc(default.as_fd(), into, None)?,
            Some((old, current)) => {
                let changed = ChangedEtc {
                    default: old.as_fd(),
                    current: current.as_fd(),
                };
                make_etc(default.as_fd(), into, Some(changed))?;
            }
        }
        Ok(durable::remove_all(
            physical,
            Path::new(&format!("{etc}/{UPDATED}")),
        )?)
    }
}
