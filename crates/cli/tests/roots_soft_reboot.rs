//! Soft reboots of systems whose roots are images of composefs: the next root is mounted where systemd changes to it.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::booted::Booted;
use support::roots::System;
use support::{assert_valid, said};
use testkit::oci::Layer;
use testkit::tar::TarWriter;

/// What every script begins with: mounts are shared as on a real system, and the service manager is one that can.
const PROLOGUE: &str = "set -e
mount --make-rshared /
mkdir -p /run/units; : > /run/units/soft-reboot.target
mount --bind /run/units /usr/lib/systemd/system
";

/// What makes the next image one with the kernel that runs.
fn same_kernel() -> TarWriter {
    let kernel = "usr/lib/modules/6.1/vmlinuz";
    TarWriter::new().file(kernel, 0o644, "kernel 1")
}

/// A system that pretends to run version 1, and can have version 2.
struct Machine {
    system: System,
    booted: Booted,
    one: String,
}

impl Machine {
    /// With this argument of the next image, one more layer of it, and what stands before the digest that the kernel
    /// was told.
    fn new(arg: &str, more: TarWriter, mark: &str) -> Self {
        let system = System::new();
        let [one] = system.roots().try_into().unwrap();
        let line = format!("BOOT_IMAGE=/x root=LABEL=root rw quiet composefs={mark}{one} late\n");
        let booted = Booted::of_root(system.root.path(), &one, &line);
        system.publish_with("2", arg, Some(Layer::new(more.finish())));
        Self {
            system,
            booted,
            one,
        }
    }

    fn usual() -> Self {
        Self::new("quiet", same_kernel(), "?")
    }

    /// As another system is told that runs by now.
    fn after(&self, id: &str) -> Booted {
        let line = format!("root=LABEL=root rw quiet composefs=?{}\n", self.one);
        Booted::of_root(self.system.root.path(), id, &line)
    }
}

fn roots(text: &str) -> Vec<Value> {
    let status: Value = serde_json::from_str(text).unwrap();
    assert_valid("status", &status);
    status["roots"].as_array().unwrap().clone()
}

#[test]
fn the_root_of_a_stage_is_mounted_and_has_the_last_changes() {
    let machine = Machine::usual();
    let text = machine.booted.shell(&format!(
        "{PROLOGUE}
        echo mine > /etc/early; echo here > /var/here
        bootroot -q upgrade > /dev/null
        bootroot status --json > /run/status-capable
        bootroot -q upgrade --soft-reboot required > /dev/null
        cat /run/nextroot/etc/version /run/nextroot/etc/early /run/nextroot/var/here
        findmnt -rno TARGET,FSTYPE -R /run/nextroot | sort
        if touch /run/nextroot/sysroot/x /run/nextroot/usr/x 2>/dev/null; then echo writable; fi
        touch /run/nextroot/etc/x /run/nextroot/var/x
        bootroot status --json > /run/status-before
        cat /run/reboot-required > /dev/null
        rm /etc/early; mkdir /etc/dir; echo local > /etc/dir/local; echo 3 > /etc/version
        bootroot finalize-staged
        ls /run/nextroot/etc; cat /run/nextroot/etc/dir/local /run/nextroot/etc/version
        test ! -e /run/reboot-required
        ls /sysroot/state/deploy/*/ -A
        "
    ));
    let read = |name| fs::read_to_string(machine.booted.run_file(name)).unwrap();
    let capable = roots(&read("status-capable"));
    assert_eq!(
        (
            &capable[0]["staged"],
            &capable[0]["soft_reboot_capable"],
            &capable[0]["soft_reboot_target"]
        ),
        (&json!(true), &json!(true), &json!(false))
    );
    let before = roots(&read("status-before"));
    assert_eq!(before[0]["soft_reboot_target"], true, "{before:?}");
    assert_eq!(before[1]["soft_reboot_obstacle"], Value::Null, "{before:?}");
    let two = before[0]["root"].as_str().unwrap();
    let next = "/run/nextroot";
    let (first, rest) = text.split_once(&format!("{next} overlay\n")).unwrap();
    assert_eq!(first, "2\nmine\nhere\n");
    let places: Vec<_> = rest
        .lines()
        .take(3)
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(
        places,
        ["etc", "sysroot", "var"].map(|name| format!("{next}/{name}"))
    );
    assert!(!text.contains("writable"), "{text}");
    let after = format!("Finalized deployment {two}\ndir\nversion\nlocal\n3\n");
    assert!(rest.contains(&after), "{text}");
    assert!(!rest.contains(".etc.tmp"), "{text}");

    // The system that comes finds itself, and the old one behind it.
    let status = machine.after(two).shell("bootroot status --json");
    let found: Vec<_> = roots(&status)
        .iter()
        .map(|root| {
            json!([
                root["root"],
                root["booted"],
                root["rollback"],
                root["soft_reboot_capable"]
            ])
        })
        .collect();
    assert_eq!(
        found,
        [
            json!([two, true, false, false]),
            json!([machine.one, false, true, false])
        ]
    );
}

#[test]
fn what_is_prepared_is_taken_back_by_a_reset_and_by_whatever_comes_after() {
    let machine = Machine::usual();
    let text = machine.booted.shell(&format!(
        "{PROLOGUE}
        is() {{ findmnt -rno TARGET /run/nextroot | head -1; bootroot status | grep -c 'soft-reboot prepared' || :; echo .; }}
        bootroot -q upgrade > /dev/null; is
        bootroot prepare-soft-reboot 0 > /dev/null; is
        bootroot prepare-soft-reboot --reset; is
        bootroot prepare-soft-reboot --reset
        bootroot prepare-soft-reboot pending > /dev/null; is
        bootroot -q kargs --append new=1 > /dev/null; is
        bootroot -q kargs --delete new=1 > /dev/null
        bootroot prepare-soft-reboot pending > /dev/null; is
        bootroot -q rollback > /dev/null; is
        "
    ));
    let (nothing, prepared) = ("0\n.\n", "/run/nextroot\n1\n.\n");
    let expected = format!(
        "{nothing}{prepared}no soft reboot is prepared any more\n{nothing}no soft reboot was prepared\n\
         {prepared}{nothing}{prepared}{nothing}"
    );
    assert_eq!(text, expected);
    assert_eq!(machine.system.roots(), std::slice::from_ref(&machine.one));
}

/// What was finalized before is changed to as it is; and a stage of something else goes.
#[test]
fn a_rollback_can_be_a_soft_reboot() {
    let machine = Machine::usual();
    let done = machine.booted.shell(&format!(
        "{PROLOGUE} bootroot -q upgrade > /dev/null; bootroot -q finalize-staged"
    ));
    let two = done.trim().rsplit(' ').next().unwrap().to_owned();
    fs::write(machine.system.etc(&machine.one, "mine"), "one").unwrap();
    let more = same_kernel().file("usr/lib/version", 0o644, "3");
    machine
        .system
        .publish_with("3", "quiet", Some(Layer::new(more.finish())));
    let text = machine.after(&two).shell(&format!(
        "{PROLOGUE}
        bootroot -q upgrade > /dev/null
        bootroot -q prepare-soft-reboot rollback
        bootroot finalize-staged
        cat /run/nextroot/etc/mine /run/nextroot/etc/version; echo
        bootroot -q rollback --soft-reboot=auto > /dev/null
        cat /run/nextroot/etc/version"
    ));
    let expected = format!(
        "a soft reboot changes to {}\nNo deployment staged for finalization\none1\n\n1\n",
        machine.one
    );
    assert_eq!(text, expected);
    assert_eq!(machine.system.roots(), [machine.one.clone(), two]);
}

#[track_caller]
fn refused(machine: &Machine, code: i32, expected: &str) {
    let output = machine.booted.try_shell(&format!(
        "{PROLOGUE} bootroot -q upgrade --soft-reboot auto > /dev/null; bootroot status --json > /run/status
        if bootroot upgrade --soft-reboot required > /dev/null; then exit 99; else code=$?; fi
        if bootroot prepare-soft-reboot pending; then exit 99; fi
        ! findmnt -n /run/nextroot; exit $code"
    ));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.matches(expected).count(), 2, "{text}");
    let status = roots(&fs::read_to_string(machine.booted.run_file("status")).unwrap());
    let obstacle = status[0]["soft_reboot_obstacle"].as_str().unwrap();
    assert!(obstacle.contains(expected), "{obstacle}");
    assert_eq!(status[0]["staged"], true, "{status:?}");
}

#[test]
fn what_needs_the_kernel_to_start_anew_is_refused() {
    let other_kernel = Machine::new("quiet", TarWriter::new(), "?");
    refused(
        &other_kernel,
        6,
        "has another kernel or initramfs than what runs",
    );
    let other_arguments = Machine::new("loud", same_kernel(), "?");
    refused(&other_arguments, 6, "than what runs (loud quiet)");
    // The kernel verifies what runs; what it cannot verify it must not change to.
    let verified = Machine::new("quiet", same_kernel(), "");
    refused(&verified, 6, "which is not sealed");
}

/// The entry of the running deployment has what its kernel was never told.
#[test]
fn what_the_kernel_was_told_counts() {
    let machine = Machine::usual();
    machine.system.run("kargs --append more=1");
    refused(&machine, 6, "than what runs (more=1)");
}

#[test]
fn what_waits_for_a_release_is_not_changed_to() {
    let machine = Machine::usual();
    let output = machine.booted.try_shell(&format!(
        "{PROLOGUE} bootroot -q upgrade --download-only > /dev/null; bootroot prepare-soft-reboot pending"
    ));
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(
        said(&output).contains("waits for a release"),
        "{}",
        said(&output)
    );
}

/// A system that runs uses what a reset has left until it boots again.
#[test]
fn the_stateroot_of_the_running_system_is_not_removed() {
    let machine = Machine::usual();
    let text = machine.booted.shell(&format!(
        "{PROLOGUE} bootroot -q reset > /dev/null; bootroot -q stateroot remove default 2>&1 || :
        cat /etc/version; ls /sysroot/state/os; rm /run/composefs/left-stateroot
        bootroot -q stateroot remove default > /dev/null; ls /sysroot/state/os"
    ));
    let refused = "error: the stateroot default is the one that runs\n";
    assert_eq!(text, format!("{refused}1\ndefault\ndefault-1\ndefault-1\n"));
}

/// What its image says of `/etc` and `/var` holds as it would after a boot, and the old system's changes do not get lost.
#[test]
fn the_next_root_is_set_up_as_its_image_says() {
    let conf = "[root]\ntransient = true\n[etc]\nmount = \"transient\"\n[var]\nmount = \"none\"\n";
    let more = same_kernel().dir("usr/lib/composefs", 0o755).file(
        "usr/lib/composefs/setup-root-conf.toml",
        0o644,
        conf,
    );
    let machine = Machine::new("quiet", more, "?");
    let text = machine.booted.shell(&format!(
        "{PROLOGUE} echo local > /etc/local
        bootroot -q upgrade --soft-reboot required > /dev/null
        findmnt -rno TARGET,SOURCE -R /run/nextroot | sort
        echo x > /run/nextroot/usr/x; echo x > /run/nextroot/etc/version; cat /run/nextroot/etc/version
        bootroot -q finalize-staged
        bootroot -q prepare-soft-reboot --reset"
    ));
    let two = machine.system.roots()[0].clone();
    let expected = format!(
        "/run/nextroot transient:composefs={two}\n/run/nextroot/etc transient\n/run/nextroot/sysroot "
    );
    assert!(text.starts_with(&expected), "{text}");
    let end = format!("\nx\nFinalized deployment {two}\nno soft reboot is prepared any more\n");
    assert!(text.ends_with(&end), "{text}");
    let etc = |name| fs::read_to_string(machine.system.etc(&two, name)).unwrap();
    assert_eq!(
        (etc("version"), etc("local")),
        ("2\n".to_owned(), "local\n".to_owned())
    );
}

/// It is there as a whole or not at all, whenever the program that prepares it is killed; and so it is completed.
#[test]
fn what_is_prepared_appears_in_one_step() {
    let machine = Machine::usual();
    let text = machine.booted.shell(&format!(
        "{PROLOGUE}
        is() {{ echo $(findmnt -rno TARGET -R /run/nextroot | sort) $(bootroot status | grep -c 'soft-reboot prepared'); }}
        bootroot -q upgrade > /dev/null
        for point in roots:etc-made roots:etc-renewed roots:next-root-assembled roots:next-root-noted sysroot:next-root-mounted; do
            echo $point
            BOOTROOT_CRASH_AT=$point bootroot prepare-soft-reboot pending > /dev/null && exit 9 || [ $? = 134 ]
            is
            bootroot prepare-soft-reboot pending > /dev/null; is
            findmnt -rno TARGET | grep ^/run/ostree || :
            bootroot prepare-soft-reboot --reset > /dev/null; is
        done
        bootroot prepare-soft-reboot pending > /dev/null
        echo local > /etc/local
        for point in roots:etc-made roots:etc-refilled roots:menu-switched roots:finalized; do
            BOOTROOT_CRASH_AT=$point bootroot -q finalize-staged > /dev/null && exit 9 || [ $? = 134 ]
            bootroot status | grep -c 'soft-reboot prepared'
        done
        bootroot -q finalize-staged > /dev/null; is
        cat /run/nextroot/etc/local
        "
    ));
    let whole = "/run/nextroot /run/nextroot/etc /run/nextroot/sysroot /run/nextroot/var 1\n";
    let mut expected = String::new();
    for point in [
        "roots:etc-made",
        "roots:etc-renewed",
        "roots:next-root-assembled",
        "roots:next-root-noted",
    ] {
        expected.push_str(&format!("{point}\n0\n{whole}0\n"));
    }
    expected.push_str(&format!(
        "sysroot:next-root-mounted\n{whole}{whole}0\n1\n1\n1\n1\n{whole}local\n"
    ));
    assert_eq!(text, expected);
}
