//! Commands on systems whose roots are images of composefs, killed at every step and at any time: afterwards the old or
//! the new boots, `status` works, and the same command completes.

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::roots::System;
use support::sysroot::ScratchSysroot;
use support::{answer, bootroot};

/// A system with two versions of an image deployed, and a third one to be had.
struct Before(System);

impl Before {
    fn new() -> Self {
        let system = System::new();
        system.publish("2", "loud");
        system.run("upgrade");
        system.publish("3", "louder");
        Self(system)
    }

    fn copy(&self) -> ScratchSysroot {
        let copy = ScratchSysroot::empty();
        let source = self.0.root.join(".");
        let mut cp = testkit::command("cp");
        testkit::run(cp.arg("-a").arg(source).arg(copy.path()));
        copy
    }

    /// What is there after the command was left alone, and what nothing needs was removed.
    fn expected(&self, line: &str) -> (Vec<Value>, String) {
        let whole = self.copy();
        run(whole.path(), line);
        run(whole.path(), "cleanup");
        (outcome(whole.path()), facts(whole.path()))
    }

    /// A command that was killed has changed what boots entirely or not at all, and does the rest when it is
    /// called again.
    #[track_caller]
    fn assert_recovers(&self, root: &Path, line: &str, expected: &(Vec<Value>, String), at: &str) {
        let found = outcome(root);
        let is_new = found == expected.0;
        assert!(
            is_new || found == outcome(self.0.root.path()),
            "{line}, {at}: {found:?}"
        );
        if !is_new {
            run(root, line);
        }
        run(root, "cleanup");
        assert_eq!(facts(root), expected.1, "{line}, {at}");
        let checked = run(root, "composefs check");
        assert!(!checked.contains("damaged"), "{line}, {at}: {checked}");
    }

    /// Kill the command at each of its crash points; how often it was killed.
    fn kill_everywhere(&self, line: &str) -> u32 {
        let expected = self.expected(line);
        for nth in 1.. {
            let (copy, at) = (self.copy(), format!("*:{nth}"));
            let mut killed = command(copy.path(), line);
            let died = killed.env("BOOTROOT_CRASH_AT", &at).output().unwrap();
            if died.status.signal() != Some(6) {
                assert!(died.status.success(), "{line}, {at}: {died:?}");
                return nth - 1;
            }
            self.assert_recovers(copy.path(), line, &expected, &at);
        }
        0
    }

    fn kill_at_any_time(&self, line: &str, times: u32) {
        let expected = self.expected(line);
        let whole = self.copy();
        let started = Instant::now();
        run(whole.path(), line);
        let duration = started.elapsed();
        for time in 0..times {
            let copy = self.copy();
            let pause: Duration = duration * time / times;
            let mut child = command(copy.path(), line).spawn().unwrap();
            std::thread::sleep(pause);
            // It may have ended by itself.
            let _gone = child.kill();
            child.wait().unwrap();
            let at = format!("after {pause:?}");
            self.assert_recovers(copy.path(), line, &expected, &at);
        }
    }
}

fn command(root: &Path, line: &str) -> Command {
    bootroot(&format!("-q --sysroot {} {line}", root.display()))
}

#[track_caller]
fn run(root: &Path, line: &str) -> String {
    answer(&mut command(root, line))
}

/// What boots in which order, with which arguments, and what is pinned; none of it is damaged.
#[track_caller]
fn outcome(root: &Path) -> Vec<Value> {
    let status: Value = serde_json::from_str(&run(root, "status --json")).unwrap();
    let roots = status["roots"].as_array().unwrap().iter();
    let decides = |root: &Value| {
        assert_eq!(root["problems"], serde_json::json!([]), "{status}");
        serde_json::json!([root["root"], root["kernel_arguments"], root["pinned"]])
    };
    roots.map(decides).collect()
}

/// All names but those of what was fetched in part, and what entries and origins say.
fn facts(root: &Path) -> String {
    let script = "cd $1
        find . -not -name '.bootroot-lock' -not -path '*/bootroot-partial-blobs*' | sort
        cat boot/loader/entries/*.conf state/deploy/*/*.origin";
    testkit::shell(&script.replace("$1", &root.display().to_string()))
}

#[test]
fn an_upgrade() {
    let killed = Before::new().kill_everywhere("upgrade");
    assert!(killed > 12, "{killed}");
}

#[test]
fn changes() {
    let before = Before::new();
    for (line, least) in [
        ("rollback 1", 2),
        ("undeploy 1", 1),
        ("kargs --append new=1", 1),
        ("pin 1", 0),
        ("cleanup", 0),
    ] {
        let killed = before.kill_everywhere(line);
        assert!(killed > least, "{line}: {killed}");
    }
}

#[test]
fn at_any_time() {
    let before = Before::new();
    before.kill_at_any_time("upgrade", 10);
    for line in ["undeploy 1", "kargs --append new=1", "rollback 1"] {
        before.kill_at_any_time(line, 4);
    }
}
