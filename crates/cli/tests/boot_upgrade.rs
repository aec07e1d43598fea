//! The life of a machine: it upgrades itself from a registry, loses power before that is completed, completes it when
//! it shuts down later, boots the new version, and goes back. `.config/nextest.toml` runs this after everything else.

mod support;

use std::path::Path;

use support::sysroot::ScratchSysroot;
use support::{answer, bootroot};
use testkit::boot::{Guest, mini_image_with};
use testkit::{Registry, scratch_dir};

/// What the guest does when it is up; `bootroot.step=` on its command line chooses.
const SCRIPT: &str = r#"
step=$(sed -n 's/.*bootroot.step=\([a-z]*\).*/\1/p' /proc/cmdline)
run() { name=$1; shift; "$@" > /tmp/out 2>&1; echo "TEST $name: exit $?"; sed "s/^/TEST $name: /" /tmp/out; }
case $step in
upgrade)
    touch /sysroot/ostree/x 2>/dev/null && echo "TEST /sysroot is writable"
    mkdir -p /etc/containers
    printf '[[registry]]\nlocation = "REGISTRY"\ninsecure = true\n' > /etc/containers/registries.conf
    echo mine > /etc/local.conf
    run upgrade bootroot -q upgrade
    run status bootroot status
    echo "BOOTROOT-BOOT-OK, and off"
    sleep 1
    echo o > /proc/sysrq-trigger
    sleep 10;;
resume)
    echo late > /etc/late.conf
    run status bootroot status;;
rollback)
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/new.conf
    run again bootroot -q upgrade
    run status bootroot status
    run rollback bootroot -q rollback;;
back)
    run files ls /etc
    run status bootroot status;;
esac
"#;

/// A machine that runs version 1 and follows a tag of the registry, which has version 2 by now.
fn machine(registry: &Registry, scratch: &Path) -> Guest {
    let image = scratch.join("image");
    mini_image_with(Path::new(env!("CARGO_BIN_EXE_bootroot")), &image);
    let push =
        |tag: &str| registry.push(&format!("oci:{}:{tag}", image.display()), "os/mini:latest");
    let here = push("v1");
    let there = here.replace("127.0.0.1", Guest::HOST);
    let sysroot = ScratchSysroot::empty();
    let path = sysroot.path().display();
    answer(&mut bootroot(&format!(
        "-q --sysroot {path} deploy ostree-unverified-registry:{here} --stateroot mini \
         --target-imgref ostree-unverified-registry:{there} \
         --karg root=LABEL=root --karg rw --karg panic=-1"
    )));
    // What systems have where `/sysroot` shall not be changed by mistake.
    answer(&mut bootroot(&format!(
        "ostree config set sysroot.readonly true --repo {path}/ostree/repo"
    )));
    let script = SCRIPT.replace(
        "REGISTRY",
        &registry.host().replace("127.0.0.1", Guest::HOST),
    );
    let place = sysroot.join("ostree/deploy/mini/var/bootroot-test.sh");
    std::fs::write(place, script).unwrap();
    push("v2");
    Guest::install(sysroot.path(), &scratch.join("disk.img"))
}

#[track_caller]
fn assert_has(console: &str, lines: &[&str]) {
    for line in lines {
        assert!(console.contains(line), "no {line:?} in:\n{console}");
    }
}

#[track_caller]
fn assert_lacks(console: &str, lines: &[&str]) {
    for line in lines {
        assert!(!console.contains(line), "{line:?} in:\n{console}");
    }
}

#[test]
fn a_machine_upgrades_itself_and_goes_back() {
    let (registry, scratch) = (Registry::start(), scratch_dir());
    let machine = machine(&registry, scratch.path());

    let console = machine.boot(&["bootroot.step=upgrade"]);
    assert_has(&console, &["RUNNING Mini 1", "CONFIG color = blue"]);
    assert_has(&console, &["TEST upgrade: exit 0", "(staged)", "(booted)"]);
    assert_lacks(&console, &["/sysroot is writable", "UNIT"]);

    let console = machine.boot(&["bootroot.step=resume"]);
    assert_has(
        &console,
        &["RUNNING Mini 1", "UNIT No shutdown has completed"],
    );
    assert_has(&console, &["(staged)", "UNIT Finalized deployment mini"]);

    let console = machine.boot(&["bootroot.step=rollback"]);
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 2", "CONFIG color = green"],
    );
    for text in ["mine", "late", "new in version 2"] {
        assert_has(&console, &[&format!("TEST files: {text}")]);
    }
    assert_has(&console, &["nothing to deploy", "TEST rollback: exit 0"]);

    let console = machine.boot(&["bootroot.step=back"]);
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 1", "CONFIG color = blue"],
    );
    assert_has(&console, &["TEST files: local.conf", "TEST status: exit 0"]);
    assert_lacks(&console, &["TEST files: new.conf", "UNIT"]);
}
