//! `/boot` on a file system of its own: kernels are copied, and it may be full.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::support::{Lab, listing, make_tree, options, request};
use error_class::{Classified as _, ErrorClass};
use sysroot::DeployError;

const MIB: u64 = 1024 * 1024;

/// A sysroot on the disk with `/boot` on another file system, and a commit with a kernel of 4 MiB.
fn lab(scratch: &tempfile::TempDir) -> Lab {
    let lab = Lab::ours(scratch.path().join("S"), options());
    lab.init_stateroot("os");
    lab
}

fn commit(scratch: &tempfile::TempDir, lab: &Lab, version: &str) -> ostree_format::Checksum {
    let tree = scratch.path().join(version);
    make_tree(&tree, version, &format!("6.{version}"));
    let modules = tree.join(format!("usr/lib/modules/6.{version}"));
    fs::write(modules.join("vmlinuz"), version.repeat(4 * 1024 * 1024)).unwrap();
    fs::create_dir_all(modules.join("dtb/vendor")).unwrap();
    fs::write(modules.join("dtb/vendor/board.dtb"), "board").unwrap();
    lab.commit(&format!("b{version}"), &tree, version)
}

/// Unmounts when dropped.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        testkit::run(testkit::command("umount").arg(&self.0));
    }
}

fn mount(disk: &testkit::disk::ScratchFs, lab: &Lab) -> Mounted {
    let boot = lab.root.join("boot");
    testkit::run(
        testkit::command("mount")
            .arg("--bind")
            .arg(disk.path())
            .arg(&boot),
    );
    Mounted(boot)
}

#[test]
fn kernels_are_copied() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = testkit::disk::scratch_fs(32 * MIB);
    let lab = lab(&scratch);
    let _boot = mount(&disk, &lab);
    let one = commit(&scratch, &lab, "1");
    let sysroot = lab.open();
    let plan = sysroot
        .plan_deploy(&sysroot.load().unwrap(), &request("os", one, "b1"))
        .unwrap();
    let size = 4 * MIB + "initrd-6.1\n".len() as u64 + "board".len() as u64;
    assert_eq!(plan.space.boot_needed, size);
    lab.deploy(&request("os", one, "b1")).unwrap();
    let entry = &plan.boot.entries[0];
    let installed = lab.root.join("boot").join(entry.boot_dir().path());
    let tree = lab.deployment(0).join("usr/lib/modules/6.1");
    for (name, source) in [
        ("vmlinuz-6.1", "vmlinuz"),
        ("initramfs-6.1.img", "initramfs.img"),
        ("dtb/vendor/board.dtb", "dtb/vendor/board.dtb"),
    ] {
        let (copy, original) = (installed.join(name), tree.join(source));
        assert_eq!(fs::read(&copy).unwrap(), fs::read(&original).unwrap());
        let (copy, original) = (copy.metadata().unwrap(), original.metadata().unwrap());
        assert_ne!(copy.dev(), original.dev());
        assert_eq!((copy.mode(), copy.uid()), (original.mode(), original.uid()));
    }
    lab.admin("status", &[]);
    // The same kernel again needs nothing; a copy that was cut off is made anew.
    fs::write(installed.join("vmlinuz-6.1"), "cut").unwrap();
    let plan = sysroot
        .plan_deploy(&sysroot.load().unwrap(), &request("os", one, "b1"))
        .unwrap();
    assert_eq!(plan.space.boot_needed, 4 * MIB);
    lab.deploy(&request("os", one, "b1")).unwrap();
    assert_eq!(
        fs::metadata(installed.join("vmlinuz-6.1")).unwrap().len(),
        4 * MIB
    );
}

#[test]
fn a_full_boot_is_refused_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = testkit::disk::scratch_fs(32 * MIB);
    let lab = lab(&scratch);
    let _boot = mount(&disk, &lab);
    let (one, two) = (commit(&scratch, &lab, "1"), commit(&scratch, &lab, "2"));
    lab.deploy(&request("os", one, "b1")).unwrap();
    disk.fill_leaving(3 * MIB);
    let before = listing(&lab.root);
    let error = lab.deploy(&request("os", two, "b2")).unwrap_err();
    assert!(
        matches!(error, DeployError::NoSpace { place: "/boot", .. }),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::NoSpace);
    assert_eq!(listing(&lab.root), before);
    disk.empty();
    lab.deploy(&request("os", two, "b2")).unwrap();
    assert_eq!(lab.load().deployments.len(), 2);
}

#[test]
fn boot_that_fills_up_meanwhile_changes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = testkit::disk::scratch_fs(32 * MIB);
    let lab = lab(&scratch);
    let _boot = mount(&disk, &lab);
    let (one, two) = (commit(&scratch, &lab, "1"), commit(&scratch, &lab, "2"));
    lab.deploy(&request("os", one, "b1")).unwrap();
    let old = lab.id(0);
    let error = lab.locked(|locked| {
        let plan = locked
            .plan_deploy(&locked.load().unwrap(), &request("os", two, "b2"))
            .unwrap();
        disk.fill_leaving(3 * MIB);
        let interrupt = progress::Interrupt::default();
        locked
            .apply_deploy(&plan, None, &progress::Silent, &interrupt)
            .unwrap_err()
    });
    assert_eq!(error.class(), ErrorClass::NoSpace, "{error}");
    assert!(lab.load().damaged.is_empty());
    assert_eq!(lab.id(0), old);
    lab.admin("status", &[]);
    disk.empty();
    lab.deploy(&request("os", two, "b2")).unwrap();
    assert_eq!(lab.load().deployments.len(), 2);
    lab.locked(|locked| assert!(locked.cleanup().unwrap().is_empty()));
}

fn three_of_which_two_are_deployed(
    scratch: &tempfile::TempDir,
    lab: &Lab,
) -> [ostree_format::Checksum; 3] {
    let commits = ["1", "2", "3"].map(|version| commit(scratch, lab, version));
    lab.deploy(&request("os", commits[0], "b1")).unwrap();
    lab.deploy(&request("os", commits[1], "b2")).unwrap();
    commits
}

/// What would be removed afterwards goes first where `/boot` is too small, and only then.
#[test]
fn a_small_boot_is_made_room_in() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = testkit::disk::scratch_fs(32 * MIB);
    let lab = lab(&scratch);
    let _boot = mount(&disk, &lab);
    let [_, two, three] = three_of_which_two_are_deployed(&scratch, &lab);
    let old = lab.id(1);
    let plan = |lab: &Lab| {
        let sysroot = lab.open();
        let state = sysroot.load().unwrap();
        sysroot
            .plan_deploy(&state, &request("os", three, "b3"))
            .unwrap()
    };
    assert_eq!(plan(&lab).dropped_first, []);
    disk.fill_leaving(3 * MIB);
    assert_eq!(plan(&lab).dropped_first, [old]);
    // Nobody who is to stay goes.
    let mut all = request("os", three, "b3");
    all.retain.all = true;
    let refused = lab.deploy(&all).unwrap_err();
    assert_eq!(refused.class(), ErrorClass::NoSpace, "{refused}");
    assert_eq!(lab.load().deployments.len(), 2);

    lab.deploy(&request("os", three, "b3")).unwrap();
    let state = lab.load();
    let commits: Vec<_> = state.deployments.iter().map(|d| d.id.commit).collect();
    assert_eq!(commits, [three, two]);
    assert!(state.deployments.iter().all(|d| d.problems.is_empty()));
    lab.locked(|locked| assert!(locked.cleanup().unwrap().is_empty()));
    lab.admin("status", &[]);
}

/// A stage leaves the one alone that goes first until the system shuts down.
#[test]
fn a_small_boot_is_made_room_in_at_shutdown() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = testkit::disk::scratch_fs(32 * MIB);
    let lab = lab(&scratch);
    let _boot = mount(&disk, &lab);
    let [one, _, three] = three_of_which_two_are_deployed(&scratch, &lab);
    disk.fill_leaving(3 * MIB);
    // The last one runs, and the first one would boot next.
    let staged = lab.stage(&request("os", three, "b3"), false);
    assert_eq!(lab.load().deployments.len(), 2);
    assert_eq!(lab.finalize().unwrap(), sysroot::Finalized::Done(staged));
    let state = lab.load();
    let commits: Vec<_> = state.deployments.iter().map(|d| d.id.commit).collect();
    assert_eq!(commits, [three, one]);
    assert!(state.deployments.iter().all(|d| d.problems.is_empty()));
}
