//! The deployment that was made last, for installers that work in a root that was not booted.

use std::os::fd::AsFd as _;

use durable::Error;
use rustix::fs::FileType;

use crate::{DeploymentId, Sysroot, dir};

impl Sysroot {
    /// The deployment whose directory was changed last, whether anything boots it or not.
    ///
    /// # Errors
    /// What the system said.
    pub fn find_newest_deployment(&self) -> Result<Option<DeploymentId>, Error> {
        let mut newest = None;
        for stateroot in self.stateroots()? {
            let path = format!("{}/deploy", stateroot.path());
            for (name, kind) in dir::names_below(self.dir(), &path)? {
                let id = DeploymentId::from_directory(stateroot.clone(), &name);
                let Some(id) = id.ok().filter(|_| kind == FileType::Directory) else {
                    continue;
                };
                let stat = dir::stat_optional(self.dir().as_fd(), id.path())?;
                let time = stat.map(|stat| (stat.st_mtime, stat.st_mtime_nsec));
                if newest.as_ref().is_none_or(|(latest, _)| *latest < time) {
                    newest = Some((time, id));
                }
            }
        }
        Ok(newest.map(|(_, id)| id))
    }
}
