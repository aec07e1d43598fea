//! Roots that `ostree-prepare-root` mounts by composefs, and whose files the kernel verifies: a machine goes from one
//! that is not verified to one that is, notices what was tampered with, and goes back.

mod support;

use support::machine::{Machine, assert_has, assert_lacks};
use testkit::boot::mini_composefs_image;

/// What the guest does when it is up.
const SCRIPT: &str = r#"
repo=/sysroot/ostree/repo
case $step in
upgrade)
    grep -q ' / overlay .*verity=require' /proc/mounts && echo "TEST / is verified"
    mount -o remount,rw /sysroot
    run config ostree config set ex-integrity.fsverity yes
    run copy ostree admin post-copy
    run upgrade bootroot -q upgrade
    run status bootroot status;;
tamper)
    grep ' / ' /proc/mounts | sed 's/^/TEST root: /'
    run files head -n 1 /etc/mini.conf /etc/new.conf /usr/share/doc/mini/README
    mount -o remount,rw /sysroot
    readme=$(find $repo/objects -name '*.file' -size -2 -type f | while read file; do
        [ "$(cat "$file")" = mini ] && echo "$file" && break; done)
    rm "$readme" && echo evil > "$readme" && echo "TEST an object is another one"
    run rollback bootroot -q rollback;;
look)
    grep ' / ' /proc/mounts | sed 's/^/TEST root: /'
    cat /usr/share/doc/mini/README > /dev/null || echo "TEST a file cannot be read"
    grep -q evil /usr/share/doc/mini/README 2>/dev/null && echo "TEST what was put there is read"
    run fsck ostree fsck --quiet
    run status bootroot status;;
esac
"#;

#[test]
fn a_machine_verifies_its_root() {
    let machine = Machine::install(&mini_composefs_image(), SCRIPT);

    let console = machine.boot("upgrade");
    assert_has(&console, &["RUNNING Mini 1", "MOUNT composefs / overlay"]);
    assert_has(&console, &["TEST copy: exit 0", "TEST upgrade: exit 0"]);
    assert_has(&console, &["(staged)", "(booted)"]);
    assert_lacks(&console, &["TEST / is verified"]);

    let console = machine.boot("tamper bootroot.composefs=verity");
    assert_has(&console, &["RUNNING Mini 2", "verity=require"]);
    assert_has(
        &console,
        &["TEST files: new in version 2", "TEST files: mini"],
    );
    assert_has(&console, &["TEST an object is another one"]);
    assert_has(&console, &["TEST rollback: exit 0"]);

    let console = machine.boot("look bootroot.composefs=verity");
    assert_has(&console, &["RUNNING Mini 1", "verity=require"]);
    assert_has(&console, &["TEST a file cannot be read"]);
    assert_has(&console, &["TEST fsck: exit 1", "TEST status: exit 0"]);
    assert_lacks(&console, &["TEST what was put there is read"]);
}
