//! A machine whose root is an image of composefs, which our own program mounts in the initramfs: it upgrades itself, keeps
//! what is local, and goes back; where the file system has fs-verity, the next root is verified. `.config/nextest.toml` runs this after everything else.

mod support;

use support::machine::{Machine, assert_has, assert_lacks};
use testkit::boot::mini_composefs_image;

/// What the guest does when it is up.
const SCRIPT: &str = r#"
sed -n 's/^\([^ ]* \/ overlay\) .*/TEST root: \1/p' /proc/mounts
case $step in
upgrade)
    touch /sysroot/x 2>/dev/null && echo "TEST /sysroot is writable"
    echo mine > /etc/local.conf
    run upgrade bootroot -q upgrade
    run again bootroot -q upgrade
    run status bootroot status
    run overlay bootroot -q usr-overlay
    touch /usr/written && echo "TEST /usr is writable"
    run overlaid bootroot -q status --json
    run twice bootroot -q usr-overlay
    echo late > /etc/late.conf;;
rollback)
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/new.conf /usr/share/doc/mini/README
    run status bootroot status
    run json bootroot status --json
    test -e /usr/written && echo "TEST /usr is what it was"
    run plan bootroot -q undeploy booted --dry-run
    run pin bootroot -q pin 1
    run kargs bootroot -q kargs --append quiet
    run rollback bootroot -q rollback;;
back)
    run files ls /etc
    run status bootroot status
    run cleanup bootroot -q cleanup;;
esac
"#;

#[test]
fn a_machine_upgrades_its_root_and_goes_back() {
    let machine = Machine::install_root(&mini_composefs_image(), SCRIPT);

    let console = machine.boot("upgrade");
    assert_has(&console, &["RUNNING Mini 1", "CONFIG color = blue"]);
    assert_has(&console, &["TEST root: composefs:", "WRITABLE /etc /var"]);
    assert_has(&console, &["TEST upgrade: exit 0", "(staged)", "(booted)"]);
    assert_has(
        &console,
        &["TEST again: staged", "UNIT Finalized deployment"],
    );
    assert_has(&console, &["TEST overlay: exit 0", "TEST /usr is writable"]);
    assert_has(
        &console,
        &["\"persistence\": \"transient\"", "TEST twice: exit 5"],
    );
    assert_lacks(&console, &["/sysroot is writable"]);

    let console = machine.boot("rollback");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 2", "CONFIG color = green"],
    );
    for text in ["mine", "late", "new in version 2", "mini"] {
        assert_has(&console, &[&format!("TEST files: {text}")]);
    }
    assert_has(&console, &["(rollback)", "\"bootType\": \"bls\""]);
    assert_has(&console, &["TEST rollback: exit 0", "TEST plan: exit 5"]);
    assert_has(&console, &["TEST pin: exit 0", "TEST kargs: exit 0"]);
    assert_lacks(&console, &["/usr is what it was"]);

    let console = machine.boot("back");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 1", "CONFIG color = blue"],
    );
    assert_has(&console, &["TEST files: local.conf", "TEST status: exit 0"]);
    assert_lacks(&console, &["TEST files: new.conf", "UNIT"]);
}

/// The same of a machine whose kernel verifies what it boots next.
const VERITY_SCRIPT: &str = r#"
mount -o remount,rw /sysroot
swap() { cp "$1" /tmp/object; rm "$1"; tr a b < /tmp/object > "$1"; }
case $step in
upgrade)
    run before sed 's/composefs=?/UNVERIFIED /' /proc/cmdline
    for point in object-sealed:9 objects-sealed image-sealed; do
        BOOTROOT_CRASH_AT=composefs:$point bootroot -q upgrade
        echo "TEST killed at $point: $?"
    done
    run upgrade bootroot -q upgrade
    run fsck bootroot -q fsck
    next=$(grep -l ' composefs=[0-9a-f]' /boot/loader/entries.staged/*.conf)
    sed -i 's/ composefs=/ composefs=?/' $next
    BOOTROOT_CRASH_AT=roots:entry-replaced bootroot -q upgrade > /dev/null
    echo "TEST killed at entry-replaced: $?"
    run once bootroot -q upgrade
    grep -q ' composefs=[0-9a-f]' $next && echo "TEST the next root has to be verified again"
    mkdir /sysroot/other
    other="bootroot -q --sysroot /sysroot/other composefs"
    run init $other init --fs-verity
    run pull $other pull docker://REGISTRY/os/test:v2
    run whole $other check
    object=$(find /sysroot/other/composefs/objects -type f | head -n 1)
    echo more 2>/dev/null >> $object || echo "TEST an object cannot be changed"
    cp $object /tmp/object; rm $object; cp /tmp/object $object
    run bare $other check;;
verity)
    sed -n 's/^[^ ]* \/ \(overlay .*\)/TEST root: \1/p' /proc/mounts
    kernel=$(ls /usr/lib/modules/*/vmlinuz)
    size=$(stat -c %s $kernel)
    object=$(find /sysroot/composefs/objects -type f -size ${size}c)
    swap $object && echo "TEST an object is another one"
    cat $kernel > /dev/null || echo "TEST the kernel cannot be read"
    run repair bootroot -q fsck --repair
    echo 2 > /proc/sys/vm/drop_caches
    cmp $kernel /tmp/object && echo "TEST the kernel can be read"
    image=$(readlink -f /sysroot/composefs/images/$(sed 's/.* composefs=\([0-9a-f]*\).*/\1/' /proc/cmdline))
    cp $image /tmp/object; rm $image; cp /tmp/object $image
    run seal bootroot -q fsck --repair;;
esac
"#;

#[test]
fn a_machine_verifies_its_root() {
    let machine = Machine::install_root(&mini_composefs_image(), VERITY_SCRIPT);

    // As it was installed, from a file system that does not verify anything.
    let console = machine.boot("upgrade");
    assert_has(&console, &["RUNNING Mini 1", "UNVERIFIED"]);
    for point in [
        "object-sealed:9",
        "objects-sealed",
        "image-sealed",
        "entry-replaced",
    ] {
        // By SIGABRT.
        assert_has(&console, &[&format!("TEST killed at {point}: 134")]);
    }
    assert_has(&console, &["TEST upgrade: exit 0", "TEST fsck: exit 0"]);
    // What was deployed before it was sealed.
    let demanded = "TEST the next root has to be verified again";
    assert_has(&console, &["TEST once: exit 0", demanded]);
    // Here everything is verified from the beginning.
    assert_has(&console, &["TEST init: exit 0", "TEST pull: exit 0"]);
    assert_has(
        &console,
        &["TEST whole: exit 0", "TEST an object cannot be changed"],
    );
    assert_lacks(&console, &["TEST bare: exit 0"]);
    assert_has(
        &console,
        &["is not verified by the kernel; meta.json demands that"],
    );

    let console = machine.boot("verity");
    assert_has(&console, &["RUNNING Mini 2", "verity=require"]);
    assert_has(
        &console,
        &[
            "TEST an object is another one",
            "TEST the kernel cannot be read",
        ],
    );
    let mended = "TEST repair: mended: composefs: object";
    assert_has(&console, &["TEST repair: exit 0", mended]);
    assert_has(&console, &["TEST the kernel can be read"]);
    let strict = "is not verified by the kernel; its boot entry demands that";
    assert_has(&console, &["TEST seal: exit 0", strict]);
    assert_has(&console, &["TEST seal: mended: composefs: root "]);
}
