//! Machines that live longer than continuous integration waits for: `make boot-test`.

mod support;

use support::machine::{Machine, assert_has, assert_lacks};
use testkit::boot::{demo_composefs_image, demo_image, mini_composefs_image, mini_image};

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

/// Where there is no OSTree, the script says itself that the machine is up. After a soft reboot it runs once more.
const ROOT_OF_DRACUT: &str = r#"
. /usr/lib/bootroot-guest
. /usr/lib/os-release
echo "BOOTROOT-BOOT-OK $ID $BOOTROOT_DEMO"
grep -E '^[^ ]+ (/|/etc|/var|/sysroot) ' /proc/mounts | sed 's/^/TEST mounts: /'
run failed systemctl --failed --no-legend --plain
boot_id=/proc/sys/kernel/random/boot_id
udevadm settle
[ -e /run/boot-id-before ] || network
run status bootroot status
if [ -e /run/boot-id-before ]; then
    cmp /run/boot-id-before $boot_id && echo "TEST the kernel was not started again"
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/bootroot-demo/new
    run rollback bootroot -q rollback
elif [ $step = soft ]; then
    echo mine > /etc/local.conf
    run upgrade bootroot -q upgrade --soft-reboot=required
    run before bootroot status
    echo late > /etc/late.conf
    cp $boot_id /run/boot-id-before
    systemctl soft-reboot
    sleep 100
elif [ $step = upgrade ]; then
    run files ls /etc
    run upgrade bootroot -q upgrade
    for second in 1 2 3 4 5 6 7 8 9 10; do
        systemctl is-active bootroot-finalize-staged.service && break
        sleep 1
    done
    run unit systemctl is-active bootroot-finalize-staged.service
    echo last > /etc/late.conf
else
    run files head -n 1 /etc/local.conf /etc/late.conf
fi
"#;

/// The dracut module mounts the root, systemd changes to the next one, and the units that are shipped complete what is
/// staged when the system shuts down.
#[test]
#[ignore = "minutes: make boot-test"]
fn systemd_runs_on_a_root_of_composefs() {
    let machine = Machine::install_root_of_dracut(&demo_composefs_image(), ROOT_OF_DRACUT);
    let quiet = "loglevel=4 systemd.show_status=0 mitigations=off";
    let console = machine.boot(&format!("soft {quiet}"));
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK debian 1", "TEST mounts: composefs:"],
    );
    assert_has(&console, &["TEST upgrade: exit 0", "soft-reboot prepared"]);
    assert_has(&console, &["TEST the kernel was not started again"]);
    assert_has(&console, &["BOOTROOT-BOOT-OK debian 2"]);
    for text in ["mine", "late", "new in version 2"] {
        assert_has(&console, &[&format!("TEST files: {text}")]);
    }
    assert_has(&console, &["TEST rollback: exit 0", "TEST failed: exit 0"]);
    // A unit that failed would be told here.
    assert_lacks(&console, &["TEST failed: b", "TEST failed: s"]);

    let console = machine.boot(&format!("upgrade {quiet}"));
    assert_has(&console, &["BOOTROOT-BOOT-OK debian 1", "(booted)"]);
    assert_has(&console, &["TEST files: local.conf", "TEST unit: active"]);
    assert_has(&console, &["TEST upgrade: exit 0"]);

    let console = machine.boot(&format!("look {quiet}"));
    assert_has(&console, &["BOOTROOT-BOOT-OK debian 2", "(rollback"]);
    assert_has(&console, &["TEST files: mine", "TEST files: last"]);
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

const UNIFIED: &str = r#"
[ -d /sys/firmware/efi ] && echo "TEST firmware is UEFI"
grep -q ' /boot/efi vfat ' /proc/mounts && echo "TEST the EFI system partition is mounted"
grep ' / overlay ' /proc/mounts | sed 's/^/TEST root: /'
run entries sh -c 'cd /boot/efi; ls loader/entries EFI/Linux/bootc; cat loader/entries/*'
run json bootroot -q status --json
case $step in
upgrade)
    echo mine > /etc/local.conf
    run plan bootroot -q upgrade --dry-run
    run upgrade bootroot -q upgrade
    run status bootroot status;;
look)
    run files head -n 1 /etc/local.conf /etc/new.conf
    run arguments bootroot kargs
    run kargs bootroot -q kargs --append more=1
    run status bootroot status
    run rollback bootroot -q rollback;;
back)
    run status bootroot status
    run undeploy bootroot -q undeploy 1
    run files ls /boot/efi/EFI/Linux/bootc;;
esac
"#;

/// Kernel, initramfs and arguments are in one file, which names the root that it was made for.
#[test]
#[ignore = "minutes: make boot-test"]
fn unified_kernel_images_boot_their_roots() {
    let machine = Machine::install_unified(&mini_composefs_image(), UNIFIED);
    let of_both = [
        "TEST firmware is UEFI",
        "TEST the EFI system partition is mounted",
        "\"bootType\": \"uki\"",
        "\"bootloader\": \"systemd\"",
    ];
    let console = machine.boot("upgrade");
    assert_has(&console, &of_both);
    assert_has(&console, &["RUNNING Mini 1", "TEST plan: exit 0"]);
    assert_has(
        &console,
        &["TEST upgrade: exit 0", "(staged", "UNIT Finalized"],
    );
    assert_has(&console, &["\"missingVerityAllowed\": true"]);
    assert_lacks(&console, &["verity=require"]);

    let console = machine.boot("look");
    assert_has(&console, &of_both);
    let told = "TEST arguments: root=LABEL=root rw panic=-1 console=ttyS0 bootroot.demo";
    assert_has(&console, &[told, "\"missingVerityAllowed\": false"]);
    // Its command line demands that it is verified.
    assert_has(&console, &["BOOTROOT-BOOT-OK mini 2", "verity=require"]);
    assert_has(
        &console,
        &["TEST files: mine", "TEST files: new in version 2"],
    );
    assert_has(&console, &["TEST kargs: exit 6", "TEST rollback: exit 0"]);

    let console = machine.boot("back");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 1", "TEST status: exit 0"],
    );
    assert_has(&console, &["TEST undeploy: exit 0", "TEST files: exit 0"]);
    let left = console.matches("TEST files: bootc_composefs-").count();
    assert_eq!(left, 1, "{console}");
}
