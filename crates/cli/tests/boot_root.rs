//! A machine whose root is an image of composefs, which our own program mounts in the initramfs: it upgrades itself, keeps
//! what is local, and goes back. `.config/nextest.toml` runs this after everything else.

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
    echo late > /etc/late.conf;;
rollback)
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/new.conf /usr/share/doc/mini/README
    run status bootroot status
    run json bootroot status --json
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
    assert_has(&console, &["TEST rollback: exit 0"]);

    let console = machine.boot("back");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 1", "CONFIG color = blue"],
    );
    assert_has(&console, &["TEST files: local.conf", "TEST status: exit 0"]);
    assert_lacks(&console, &["TEST files: new.conf", "UNIT"]);
}
