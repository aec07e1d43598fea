//! The life of a machine: it upgrades itself from a registry, loses power before that is completed, completes it when
//! it shuts down later, boots the new version, and goes back. `.config/nextest.toml` runs this after everything else.

mod support;

use support::machine::{Machine, assert_has, assert_lacks};
use testkit::boot::mini_image;

/// What the guest does when it is up.
const SCRIPT: &str = r#"
case $step in
upgrade)
    touch /sysroot/ostree/x 2>/dev/null && echo "TEST /sysroot is writable"
    echo mine > /etc/local.conf
    run upgrade bootroot -q upgrade
    run status bootroot status
    echo "BOOTROOT-BOOT-OK, and off"
    sleep 1
    echo o > /proc/sysrq-trigger
    sleep 10;;
resume)
    echo late > /etc/late.conf
    run unlock ostree admin unlock
    touch /usr/unlocked && echo "TEST /usr is writable"
    run status bootroot status;;
rollback)
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/new.conf
    run again bootroot -q upgrade
    run overlay ostree admin state-overlay doc /usr/share/doc
    echo mine > /usr/share/doc/mini/README && echo "TEST /usr/share/doc is writable"
    run status bootroot status
    run rollback bootroot -q rollback;;
back)
    run files ls /etc
    run status bootroot status;;
esac
"#;

#[test]
fn a_machine_upgrades_itself_and_goes_back() {
    let machine = Machine::install(&mini_image(), SCRIPT);

    let console = machine.boot("upgrade");
    assert_has(&console, &["RUNNING Mini 1", "CONFIG color = blue"]);
    assert_has(&console, &["TEST upgrade: exit 0", "(staged)", "(booted)"]);
    assert_lacks(&console, &["/sysroot is writable", "UNIT"]);

    let console = machine.boot("resume");
    assert_has(
        &console,
        &["RUNNING Mini 1", "UNIT No shutdown has completed"],
    );
    assert_has(&console, &["(staged)", "UNIT Finalized deployment os"]);
    assert_has(
        &console,
        &["TEST /usr is writable", "(booted, development)"],
    );

    let console = machine.boot("rollback");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 2", "CONFIG color = green"],
    );
    for text in ["mine", "late", "new in version 2"] {
        assert_has(&console, &[&format!("TEST files: {text}")]);
    }
    assert_has(&console, &["TEST /usr/share/doc is writable"]);
    assert_has(&console, &["nothing to deploy", "TEST rollback: exit 0"]);

    let console = machine.boot("back");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 1", "CONFIG color = blue"],
    );
    assert_has(&console, &["TEST files: local.conf", "TEST status: exit 0"]);
    assert_lacks(&console, &["TEST files: new.conf", "UNIT"]);
}
