//! Unlocking the running deployment: what is prepared and noted; boot tests mount it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Lab, make_tree, options, request};
use progress::{Interrupt, Silent};
use sysroot::{UnlockError, UnlockFor, Unlocked, UsrOverlay};

fn lab(scratch: &Path) -> Lab {
    let lab = Lab::ours(scratch.join("S"), options());
    lab.init_stateroot("os");
    make_tree(&scratch.join("tree"), "1", "6.1.0");
    let commit = lab.commit("b", &scratch.join("tree"), "1");
    lab.deploy(&request("os", commit, "b")).unwrap();
    lab
}

fn unlock(lab: &Lab, how: UnlockFor) -> Result<UsrOverlay, UnlockError> {
    let sysroot = lab.running();
    let locked = sysroot.lock(Duration::from_secs(60)).unwrap();
    let overlay = locked.prepare_unlock(how, None, &Silent, &Interrupt::default())?;
    locked.mark_unlocked(&overlay.deployment, how)?;
    Ok(overlay)
}

/// The directories that an overlay's options name, relative to the deployment.
fn assert_there(lab: &Lab, options: &str) {
    for option in options.split(',') {
        let (_, path) = option.split_once('=').unwrap();
        let path = lab.deployment(0).join(path);
        assert!(path.is_dir(), "{}", path.display());
    }
}

#[test]
fn until_the_next_boot() {
    for (how, unlocked, mark) in [
        (
            UnlockFor::Development,
            Unlocked::Development,
            "unlocked-development",
        ),
        (
            UnlockFor::Transient,
            Unlocked::Transient,
            "unlocked-transient",
        ),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let lab = lab(scratch.path());
        let overlay = unlock(&lab, how).unwrap();
        assert_there(&lab, &overlay.options);
        assert_eq!(overlay.read_only, how == UnlockFor::Transient);
        let name = overlay.deployment.directory();
        let state = lab.root.join("run/ostree/deployment-state");
        assert!(state.join(name).join(mark).exists());
        assert_eq!(
            lab.running().status().unwrap().deployments[0].unlocked,
            unlocked
        );
        let refused = unlock(&lab, UnlockFor::Hotfix).unwrap_err();
        assert!(matches!(refused, UnlockError::Already(found) if found == unlocked));
    }
}

#[test]
fn for_good() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = lab(scratch.path());
    fs::write(lab.deployment(0).join("etc/a"), "local").unwrap();
    let overlay = unlock(&lab, UnlockFor::Hotfix).unwrap();
    assert_there(&lab, &overlay.options);
    let status = lab.open().status().unwrap();
    let found: Vec<_> = status.deployments.iter().map(|d| d.unlocked).collect();
    assert_eq!(found, [Unlocked::Hotfix, Unlocked::None]);
    assert_eq!(
        fs::read_to_string(lab.deployment(1).join("etc/a")).unwrap(),
        "local"
    );
    // `ostree-prepare-root` looks for this.
    assert!(lab.deployment(0).join(".usr-ovl-upper").is_dir());
    assert!(lab.admin("status", &[]).contains("hotfix"));
}

#[test]
fn only_what_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = lab(scratch.path());
    let refused = lab.locked(|locked| {
        let quiet = Interrupt::default();
        locked
            .prepare_unlock(UnlockFor::Development, None, &Silent, &quiet)
            .unwrap_err()
    });
    assert!(matches!(refused, UnlockError::NotBooted), "{refused}");
}
