//! Staging: what is done at once, what at shutdown, and what keeps it from being done.

use std::collections::BTreeSet;
use std::ffi::OsString;
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

fn names(dir: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn what_boots_changes_only_at_shutdown() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let before = entries(&lab);
    let staged = lab.stage(&request("os", commit, "b2"), false);
    assert_eq!(entries(&lab), before);
    let tree = lab.root.join(staged.path());
    // libostree completes a tree that has both; what is local is not there yet.
    let defaults = names(&tree.join("usr/etc"));
    assert_eq!(names(&tree.join("etc")), defaults);
    assert!(!defaults.is_empty());
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

/// What a power cut, or a shutdown that did not complete the stage, leaves of `/run`.
fn lose_run(lab: &Lab) {
    fs::remove_dir_all(lab.root.join("run")).unwrap();
}

fn resume(lab: &Lab) -> Option<sysroot::DeploymentId> {
    let sysroot = lab.running();
    let locked = sysroot.lock(Duration::from_secs(60)).unwrap();
    locked.resume_stage().unwrap()
}

#[test]
fn a_missed_completion_is_told_and_taken_up_again() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let staged = lab.stage(&request("os", commit, "b2"), true);
    assert_eq!(resume(&lab), None, "nothing was missed yet");
    lose_run(&lab);
    // Whoever looks or cleans up, even without running the system, leaves it alone.
    lab.locked(|locked| assert!(locked.cleanup().unwrap().is_empty()));
    let status = lab.running().status().unwrap();
    assert!(status.deployments[0].staged && status.deployments[0].finalization_locked);
    let problems = &status.deployments[0].problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].problem, sysroot::Problem::MissedFinalization);

    assert_eq!(resume(&lab), Some(staged.clone()));
    assert!(lab.root.join("run/ostree/staged-deployment").exists());
    let status = lab.running().status().unwrap();
    assert!(status.deployments[0].staged && status.deployments[0].problems.is_empty());
    let sysroot = lab.running();
    let locked = sysroot.lock(Duration::from_secs(60)).unwrap();
    assert!(locked.hold_stage(false).unwrap());
    drop(locked);
    // Not even taking it up is needed.
    lose_run(&lab);
    assert_eq!(lab.finalize().unwrap(), Finalized::Done(staged));
    lose_run(&lab);
    assert_eq!(lab.running().status().unwrap().deployments.len(), 2);
    assert_eq!(resume(&lab), None);
}

#[test]
fn what_another_program_discards_or_completes_is_not_brought_back() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = lab(scratch.path());
    let staged = lab.stage(&request("os", commit, "b2"), false);
    let kept = lab.root.join("ostree/bootroot-staged-deployment");
    let description = fs::read(&kept).unwrap();
    // Discarded, as libostree does it: it knows nothing of the description on disk.
    fs::remove_file(lab.root.join("run/ostree/staged-deployment")).unwrap();
    assert_eq!(lab.running().status().unwrap().deployments.len(), 1);
    assert_eq!(resume(&lab), None);
    lab.running()
        .lock(Duration::from_secs(60))
        .unwrap()
        .cleanup()
        .unwrap();
    assert!(!kept.exists() && !lab.root.join(staged.path()).exists());
    // Its tree is gone, and so there is nothing to take up.
    fs::write(&kept, &description).unwrap();
    lose_run(&lab);
    assert_eq!(resume(&lab), None);
    // It boots already.
    assert_eq!(lab.deploy(&request("os", commit, "b2")).unwrap(), staged);
    fs::write(&kept, &description).unwrap();
    assert_eq!(resume(&lab), None);
    lab.locked(|locked| locked.cleanup().unwrap());
    assert!(!kept.exists());
    // Damaged, it says nothing.
    fs::write(&kept, "damaged").unwrap();
    lose_run(&lab);
    assert_eq!(lab.running().status().unwrap().deployments.len(), 2);
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
