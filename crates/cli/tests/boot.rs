//! From an image to a system that boots, and back and forth between bootroot and libostree.
//!
//! These are the slow tests: `.config/nextest.toml` runs them after everything else.

mod support;

use std::path::Path;

use support::sysroot::ScratchSysroot;
use support::{answer, bootroot, ostree};
use testkit::boot::{
    boot, boot_disk_entry, boot_keeping, deploy_with_ostree, fake_boot, mini_image,
};
use testkit::{Registry, scratch_dir};

const KERNEL_ARGUMENTS: &str = "--karg root=LABEL=root --karg rw --karg panic=-1";

fn mini(tag: &str) -> String {
    format!(
        "ostree-unverified-image:oci:{}:{tag}",
        mini_image().display()
    )
}

fn deploy(sysroot: &Path, image: &str) -> String {
    let sysroot = sysroot.display();
    let line = format!("-q --sysroot {sysroot} deploy {image} --stateroot mini {KERNEL_ARGUMENTS}");
    answer(&mut bootroot(&line))
}

fn admin(sysroot: &Path, verb: &str) -> String {
    let mut ostree = ostree(&format!("admin {verb} --sysroot={}", sysroot.display()));
    answer(ostree.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments"))
}

/// What the default deployment says of itself after the real `ostree-prepare-root` set it up.
fn color(sysroot: &Path) -> String {
    fake_boot(sysroot, "cat /etc/mini.conf")
}

#[track_caller]
fn assert_has(console: &str, lines: &[&str]) {
    lines
        .iter()
        .for_each(|line| assert!(console.contains(line), "no {line:?} in:\n{console}"));
}

#[track_caller]
fn assert_clean(sysroot: &Path) {
    let seen = answer(&mut ostree(&format!(
        "fsck --repo={}/ostree/repo",
        sysroot.display()
    )));
    assert!(seen.contains("no errors found"), "{seen}");
}

#[test]
fn image_from_a_registry_is_deployed_and_boots() {
    let registry = Registry::start();
    let source = format!("oci:{}:v1", mini_image().display());
    let reference = registry.push(&source, "os/mini:v1");
    let sysroot = ScratchSysroot::empty();
    let image = format!("ostree-unverified-registry:{reference}");
    deploy(sysroot.path(), &image);
    assert_clean(sysroot.path());

    let status = answer(&mut bootroot(&format!(
        "--sysroot {} status",
        sysroot.path().display()
    )));
    assert!(status.contains(&image), "{status}");
    let seen = boot(sysroot.path(), &[]);
    assert_has(&seen, &["BOOTROOT-BOOT-OK mini 1", "CONFIG color = blue"]);
}

/// Both entries of an upgraded system boot, each with its own `/etc`, and share `/var`.
#[test]
fn upgraded_system_boots_and_so_does_the_one_before() {
    let sysroot = ScratchSysroot::empty();
    deploy(sysroot.path(), &mini("v1"));
    fake_boot(
        sysroot.path(),
        "echo mine > /etc/local.conf; echo data > /var/kept",
    );
    deploy(sysroot.path(), &mini("v2"));
    assert_clean(sysroot.path());
    let script =
        "for f in /etc/local.conf /etc/new.conf /var/kept; do echo TEST $f: $(cat $f); done";
    std::fs::write(
        sysroot.join("ostree/deploy/mini/var/bootroot-test.sh"),
        script,
    )
    .unwrap();

    let scratch = scratch_dir();
    let disk = scratch.path().join("disk.img");
    let new = boot_keeping(sysroot.path(), &disk);
    assert_has(&new, &["BOOTROOT-BOOT-OK mini 2", "CONFIG color = green"]);
    assert_has(&new, &["TEST /etc/new.conf: new in version 2"]);
    let old = boot_disk_entry(&disk, "ostree-1.conf");
    assert_has(&old, &["BOOTROOT-BOOT-OK mini 1", "CONFIG color = blue"]);
    assert!(!old.contains("new in version 2"), "{old}");
    for seen in [new, old] {
        assert_has(
            &seen,
            &["TEST /etc/local.conf: mine", "TEST /var/kept: data"],
        );
    }
}

#[test]
fn libostree_takes_over_a_system_of_bootroot() {
    let sysroot = ScratchSysroot::empty();
    deploy(sysroot.path(), &mini("v1"));
    let pull = format!(
        "-q --sysroot {} image pull {}",
        sysroot.path().display(),
        mini("v2")
    );
    answer(&mut bootroot(&pull));
    let list = format!(
        "refs --list ostree/container/image --repo={}/ostree/repo",
        sysroot.path().display()
    );
    let refs = answer(&mut ostree(&list));
    let newer = refs
        .lines()
        .find(|name| name.ends_with("v2"))
        .expect("the ref of v2")
        .to_owned();

    admin(sysroot.path(), &format!("deploy --os=mini {newer}"));
    assert_eq!(color(sysroot.path()), "color = green");
    admin(sysroot.path(), "undeploy 0");
    assert_eq!(color(sysroot.path()), "color = blue");
    assert_clean(sysroot.path());
}

#[test]
fn bootroot_takes_over_a_system_of_libostree() {
    let sysroot = ScratchSysroot::empty();
    let image = format!("{}:v1", mini_image().display());
    deploy_with_ostree(&image, sysroot.path(), "mini", &["--karg=rw"]);
    fake_boot(sysroot.path(), "echo mine > /etc/local.conf");
    deploy(sysroot.path(), &mini("v2"));

    assert_eq!(color(sysroot.path()), "color = green");
    assert_eq!(fake_boot(sysroot.path(), "cat /etc/local.conf"), "mine");
    assert_eq!(admin(sysroot.path(), "status").matches("mini ").count(), 2);
    admin(sysroot.path(), "undeploy 0");
    assert_eq!(color(sysroot.path()), "color = blue");
    assert_clean(sysroot.path());
}
