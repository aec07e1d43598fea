//! Back to how the system came, where roots are images of composefs.

use std::os::fd::AsFd as _;

use composefs::Store;
use composefs_format::Algorithm;
use composefs_root::{RootDeployment, RootEntry, RootOrigin, RootRequest, Roots};
use oci::reference::OstreeImageReference;
use progress::{Interrupt, Progress};
use sysroot::StaterootName;

use crate::backend::Job;
use crate::composefs_fetch::{Made, fetch, made};
use crate::reset::{SCHEMA, carry_line, free_name, fresh_arguments, fstab};
use crate::{
    Access, BootedComposefs, Change, ChangeError, ResetDone, ResetOptions, Selector,
    UpgradeOptions, ensure_composefs_store,
};

impl BootedComposefs {
    /// Deploy the image into a new stateroot with nothing of what was changed.
    pub(crate) fn reset_root(
        &self,
        access: &Access,
        options: &ResetOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<ResetDone, ChangeError> {
        let before = self.before()?;
        let before = before.ok_or(ChangeError::NotFound(Selector::Index(0)))?;
        let image = match &options.image {
            Some(image) => image.clone(),
            None => self.image_of(&before)?,
        };
        let left: StaterootName = stateroot(&self.roots.stateroot(&before.id))?;
        let new = self.new_stateroot(&left, options)?;
        let mut done = ResetDone {
            schema: SCHEMA,
            made: !options.dry_run,
            stateroot: new.to_string(),
            image: image.to_string(),
            commit: None,
            root: None,
            left,
            kernel_arguments: None,
            change: None,
        };
        let store = ensure_composefs_store(self.physical.as_fd(), Algorithm::Sha512)?;
        let mut upgrade = UpgradeOptions::new(&options.architecture);
        upgrade.now = options.now;
        let job = Job {
            access,
            options: &upgrade,
            progress,
            interrupt,
        };
        let Some(made) = self.image_for_reset(&store, &before, &image, options, &job)? else {
            return Ok(done);
        };
        let request = self.reset_request(&before, &image, &made, options)?;
        let arguments = request.kernel_args.clone().unwrap_or_default();
        done.kernel_arguments = Some(arguments.to_strings());
        done.root = Some(made.root.to_string());
        if !options.dry_run {
            self.fetch_bound(&made.root, &job)?;
            store.seal_image(&made.root, progress, interrupt)?;
            let plan = self.roots.plan_deploy(&request)?;
            let physical = self.physical.as_fd();
            let old = fstab(physical, &Roots::etc_path(&before.id))?;
            self.roots.reset(&request, &done.stateroot)?;
            carry_line(&old, physical, &Roots::etc_path(&made.root))?;
            done.change = Some(Change::of_new_root(&plan, true));
        }
        Ok(done)
    }

    /// What runs, unless another image is wanted, which is fetched; none when that is only planned.
    fn image_for_reset(
        &self,
        store: &Store,
        before: &RootDeployment,
        image: &OstreeImageReference,
        options: &ResetOptions,
        job: &Job<'_>,
    ) -> Result<Option<Made>, ChangeError> {
        let digest = before.origin.as_ref().and_then(RootOrigin::manifest_digest);
        match (&options.image, digest) {
            (None, Some(digest)) => {
                let stored = composefs_image::find(store, &digest)?;
                Ok(Some(made(store, &stored, (0, 0), 0)?))
            }
            _ if options.dry_run => {
                let stored = composefs_image::find(store, &image.imgref.to_string()).ok();
                stored
                    .map(|stored| made(store, &stored, (0, 0), 0))
                    .transpose()
            }
            _ => {
                let agree = |documents: &_| self.require_space(store, documents, job).map(drop);
                Ok(Some(fetch(store, image, image, job, agree)?))
            }
        }
    }

    fn reset_request(
        &self,
        before: &RootDeployment,
        image: &OstreeImageReference,
        made: &Made,
        options: &ResetOptions,
    ) -> Result<RootRequest, ChangeError> {
        let there = before.entry.as_ref().map(RootEntry::own_args);
        let of_image = self.image_arguments(&made.root, &options.architecture)?;
        let arguments = fresh_arguments(&there.unwrap_or_default(), &of_image, options);
        Ok(RootRequest {
            id: made.root,
            with_boot: Some(made.with_boot),
            origin: RootOrigin::of_image(&image.to_string(), Some(&made.fetched.digest)),
            kernel_args: Some(arguments),
            retain: true,
            locked: false,
        })
    }

    fn new_stateroot(
        &self,
        old: &StaterootName,
        options: &ResetOptions,
    ) -> Result<StaterootName, ChangeError> {
        let there = self.roots.stateroots()?;
        let there: Vec<_> = there.iter().filter_map(|name| name.parse().ok()).collect();
        match &options.stateroot {
            Some(name) if there.contains(name) => Err(ChangeError::StaterootThere(name.clone())),
            Some(name) => Ok(name.clone()),
            None => Ok(free_name(old, &there)),
        }
    }
}

fn stateroot(name: &str) -> Result<StaterootName, ChangeError> {
    name.parse()
        .map_err(|_| ChangeError::BadStateroot(name.to_owned()))
}
