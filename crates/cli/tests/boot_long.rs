//! Machines that live longer than continuous integration waits for: `make boot-test`.

mod support;

use support::machine::{Machine, assert_has, assert_lacks};
use testkit::boot::{demo_composefs_image, demo_image, mini_image};

/// The machine goes from version to version, and is cut off after some milliseconds of that.
const CUTS: &str = r#"
. /usr/lib/bootroot-guest
. /usr/lib/os-release
run status bootroot status
run status ostree admin status
cut=$(sed -n 's/.*bootroot.cut=\([0-9]*\).*/\1/p' /proc/cmdline)
case $step in
cut)
    echo "BOOTROOT-BOOT-OK, and off after $cut ms"
    (usleep ${cut}000; echo o > /proc/sysrq-trigger) &
    bootroot -q switch $image:v$((3 - VERSION_ID))
    at_shutdown
    sleep 60;;
finish)
    run switch bootroot -q switch $image:latest
    run fsck ostree fsck --quiet
    run cleanup bootroot -q cleanup;;
esac
"#;

/// Whenever the power goes, an old or a new version comes up, what is deployed can be read, and the same command
/// completes.
#[test]
#[ignore = "minutes: make boot-test"]
fn power_cuts() {
    let machine = Machine::install(&mini_image(), CUTS);
    for cut in (100..6000).step_by(350) {
        let console = machine.boot(&format!("cut bootroot.cut={cut}"));
        assert_has(&console, &["RUNNING Mini ", "TEST status: exit 0"]);
        assert_lacks(&console, &["TEST status: exit 1", "damaged"]);
    }
    let console = machine.boot("finish");
    assert_has(
        &console,
        &[
            "TEST switch: exit 0",
            "TEST fsck: exit 0",
            "TEST cleanup: exit 0",
        ],
    );
    let console = machine.boot("look");
    assert_has(&console, &["RUNNING Mini 2", "TEST status: exit 0"]);
    assert_lacks(&console, &["damaged"]);
}

const SYSTEMD: &str = r#"
. /usr/lib/bootroot-guest
udevadm settle
network
case $step in
upgrade)
    echo mine > /etc/local.conf
    run upgrade bootroot -q upgrade
    run status bootroot status
    for second in 1 2 3 4 5 6 7 8 9 10; do
        systemctl is-active bootroot-finalize-staged.service && break
        sleep 1
    done
    run unit systemctl is-active bootroot-finalize-staged.service;;
look)
    run files head -n 1 /etc/local.conf
    run status bootroot status
    run rollback bootroot -q rollback;;
esac
"#;

/// The units that are shipped, with systemd.
#[test]
#[ignore = "minutes: make boot-test"]
fn systemd_completes_what_is_staged() {
    let machine = Machine::install(&demo_image(), SYSTEMD);
    let console = machine.boot("upgrade loglevel=4 systemd.show_status=0");
    assert_has(
        &console,
        &["TEST upgrade: exit 0", "TEST unit: active", "(staged)"],
    );
    let console = machine.boot("look loglevel=4 systemd.show_status=0");
    assert_has(&console, &["BOOTROOT-BOOT-OK debian 2", "TEST files: mine"]);
    assert_has(&console, &["TEST rollback: exit 0", "(rollback)"]);
    assert_lacks(&console, &["FAILED-UNIT"]);
    let console = machine.boot("back loglevel=4 systemd.show_status=0");
    assert_has(&console, &["BOOTROOT-BOOT-OK debian 1"]);
}

/// The script runs once more in the system that comes, and `/run` stays.
const SOFT_REBOOT: &str = r#"
. /usr/lib/bootroot-guest
boot_id=/proc/sys/kernel/random/boot_id
if [ -e /run/boot-id-before ]; then
    cmp /run/boot-id-before $boot_id && echo "TEST the kernel was not started again"
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/bootroot-demo/new
    run status bootroot status
    run entries sh -c 'grep -h ^title /boot/loader/entries/*'
elif [ $step = soft ]; then
    udevadm settle
    network
    echo mine > /etc/local.conf
    run upgrade bootroot -q upgrade --soft-reboot=required
    run before bootroot status
    echo late > /etc/late.conf
    cp $boot_id /run/boot-id-before
    systemctl soft-reboot
    sleep 100
else
    run status bootroot status
fi
"#;

/// systemd changes to the next root, which has the last local changes and boots the next time, too.
#[test]
#[ignore = "minutes: make boot-test"]
fn systemd_changes_to_the_next_root() {
    let machine = Machine::install(&demo_composefs_image(), SOFT_REBOOT);
    let console = machine.boot("soft loglevel=4 systemd.show_status=0");
    assert_has(&console, &["TEST upgrade: exit 0", "soft-reboot prepared"]);
    assert_has(&console, &["TEST the kernel was not started again"]);
    assert_has(&console, &["BOOTROOT-BOOT-OK debian 2"]);
    for text in ["mine", "late", "new in version 2"] {
        assert_has(&console, &[&format!("TEST files: {text}")]);
    }
    assert_has(&console, &["TEST status: exit 0", "(rollback)"]);
    let console = machine.boot("look loglevel=4 systemd.show_status=0");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK debian 2", "TEST status: exit 0"],
    );
}

const LOADER: &str = r#"
[ -d /sys/firmware/efi ] && echo "TEST firmware is UEFI"
[ ! -e /sysroot/boot/loader ] && echo "TEST boot is a partition"
run entries sh -c 'ls /boot/loader/entries; cat /boot/loader/entries/*'
case $step in
upgrade)
    echo mine > /etc/local.conf
    run upgrade bootroot -q upgrade;;
look)
    run files head -n 1 /etc/local.conf
    run status bootroot status
    run rollback bootroot -q rollback;;
esac
"#;

/// The real boot loader reads the entries, of every new set.
fn loader_boots_what_is_deployed(machine: &Machine, words: &[&str]) {
    let console = machine.boot("upgrade");
    assert_has(&console, &["RUNNING Mini 1"]);
    assert_has(&console, words);
    assert_has(&console, &["TEST upgrade: exit 0", "UNIT Finalized"]);
    let console = machine.boot("look");
    assert_has(&console, &["BOOTROOT-BOOT-OK mini 2", "TEST files: mine"]);
    assert_has(&console, &["TEST rollback: exit 0", "(rollback)"]);
    let console = machine.boot("back");
    assert_has(&console, &["BOOTROOT-BOOT-OK mini 1"]);
}

#[test]
#[ignore = "minutes: make boot-test"]
fn grub_boots_what_is_deployed() {
    let machine = Machine::install_grub(&mini_image(), LOADER);
    loader_boots_what_is_deployed(&machine, &["CMDLINE BOOT_IMAGE="]);
}

#[test]
#[ignore = "minutes: make boot-test"]
fn grub_boots_from_uefi_what_is_deployed() {
    let machine = Machine::install_grub_efi(&mini_image(), LOADER);
    let words = ["CMDLINE BOOT_IMAGE=", "TEST firmware is UEFI"];
    loader_boots_what_is_deployed(&machine, &words);
}

/// The boot partition is none of `/sysroot`.
#[test]
#[ignore = "minutes: make boot-test"]
fn systemd_boot_boots_what_is_deployed() {
    let machine = Machine::install_systemd_boot(&mini_image(), LOADER);
    let words = [
        "CMDLINE initrd=",
        "TEST firmware is UEFI",
        "TEST boot is a partition",
    ];
    loader_boots_what_is_deployed(&machine, &words);
}
