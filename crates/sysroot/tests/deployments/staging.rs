//! Staging: what is done at once, what at shutdown, and what keeps it from being done.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Lab, make_tree, options, request, strings};
use ostree_format::Checksum;
use sysroot::{DeployError, Finalized};

/// A system that runs its only deployment, and a commit with another kernel.
fn lab(scratch: &Path) -> (Lab, Checksum) {
    let lab = Lab::ours(scratch.join("S"), options());
    lab.init_stateroot("os");
    let commits = ["1", "2"].map(|version| {
        let tree = scratch.join(version);
        make_tree(&tree, version, &format!("6.{version}.0"));
        lab.commit(&format!("b{version}"), &tree, version)
    });
    let mut first = request("os", commits[0], "b1");
    first.kernel_args.set = strings(&["rw"]);
    lab.deploy(&first).unwrap();
    (lab, commits[1])
}

fn entries(lab: &Lab) -> Vec<(String, String)> {
    let texts = lab.texts().into_iter();
    texts.filter(|(path, _)| path.ends_with(".conf")).collect()
}

#[test]
fn what_boots_changes_only_at_shutdown() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let before = entries(&lab);
    let staged = lab.stage(&request("os", commit, "b2"), false);
    assert_eq!(entries(&lab), before);
    let tree = lab.root.join(staged.path());
    assert!(tree.join("usr/etc").exists());
    // libostree refuses to complete a tree that has an /etc.
    assert!(!tree.join("etc").exists());
    let kernels = fs::read_dir(lab.root.join("boot/ostree")).unwrap().count();
    assert_eq!(kernels, 2, "the kernel is installed already");

    let status = lab.running().status().unwrap();
    assert_eq!(status.deployments.len(), 2);
    assert!(status.deployments[0].staged && status.deployments[1].booted);

    // Changed after staging, and carried over all the same.
    fs::write(lab.deployment(0).join("etc/late"), "late").unwrap();
    assert_eq!(lab.finalize().unwrap(), Finalized::Done(staged.clone()));
    let state = lab.load();
    assert_eq!(state.deployments[0].id, staged);
    assert_eq!(state.deployments.len(), 2);
    assert_eq!(fs::read(tree.join("etc/late")).unwrap(), b"late");
    let args = state.deployments[0].kernel_args().without_ostree();
    assert_eq!(args.to_string(), "rw");
    assert_eq!(lab.finalize().unwrap(), Finalized::Nothing);
    lab.ostree(&["fsck", "--quiet"]);
    assert!(lab.admin("status", &[]).contains(&staged.directory()));
}

#[test]
fn a_lock_keeps_it_from_being_completed() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let before = entries(&lab);
    let staged = lab.stage(&request("os", commit, "b2"), true);
    assert_eq!(lab.finalize().unwrap(), Finalized::Locked(staged.clone()));
    assert_eq!(entries(&lab), before);
    let marker = lab.root.join("run/ostree/staged-deployment-locked");
    assert!(marker.exists(), "older versions of libostree look for this");
    let sysroot = lab.running();
    let hold = |hold| {
        sysroot
            .lock(Duration::from_secs(60))
            .unwrap()
            .hold_stage(hold)
            .unwrap()
    };
    assert!(hold(false));
    assert!(!hold(false));
    assert!(!marker.exists());
    assert_eq!(lab.finalize().unwrap(), Finalized::Done(staged));
}

#[test]
fn a_stage_is_given_up_or_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let first = lab.stage(&request("os", commit, "b2"), false);
    let second = lab.stage(&request("os", commit, "b2"), false);
    assert!(!lab.root.join(first.path()).exists());
    assert!(lab.root.join(second.path()).exists());
    let sysroot = lab.running();
    let locked = sysroot.lock(Duration::from_secs(60)).unwrap();
    assert!(locked.discard_stage().unwrap());
    assert!(!locked.discard_stage().unwrap());
    assert!(!lab.root.join(second.path()).exists());
    let kernels = fs::read_dir(lab.root.join("boot/ostree")).unwrap().count();
    assert_eq!(kernels, 1);
}

#[test]
fn only_a_running_system_stages() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let refused = lab.locked(|locked| {
        let state = locked.load().unwrap();
        let plan = locked
            .plan_deploy(&state, &request("os", commit, "b2"))
            .unwrap();
        let quiet = (&progress::Silent, progress::Interrupt::default());
        locked
            .stage(&plan, false, None, quiet.0, &quiet.1)
            .unwrap_err()
    });
    assert!(matches!(refused, DeployError::StageNotBooted), "{refused}");
}

#[test]
fn a_failed_completion_is_noted_and_can_be_repeated() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let staged = lab.stage(&request("os", commit, "b2"), false);
    // The default of the new version has a directory where the user has put a file.
    fs::create_dir_all(lab.root.join(staged.path()).join("usr/etc/blocked")).unwrap();
    let file = lab.deployment(0).join("etc/blocked");
    fs::write(&file, "x").unwrap();
    let refused = lab.finalize().unwrap_err().to_string();
    let sysroot = lab.running();
    let take = || {
        sysroot
            .lock(Duration::from_secs(60))
            .unwrap()
            .take_failure()
            .unwrap()
    };
    assert_eq!(lab.load().deployments.len(), 1);
    assert_eq!(take(), Some(refused));
    assert_eq!(take(), None);
    fs::remove_file(file).unwrap();
    assert_eq!(lab.finalize().unwrap(), Finalized::Done(staged));
}
