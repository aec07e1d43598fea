//! Commands that change what boots, killed at every step and at any time: afterwards the real program lists what is
//! deployed, our `status` works, and the same command completes.

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::host::tree;
use support::sysroot::ScratchSysroot;
use support::{answer, bootroot};
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};

/// A system with two versions of an image deployed, and a third one to be had.
struct Host {
    images: TempDir,
    before: ScratchSysroot,
}

fn system(version: &str) -> Image {
    Image::bootable().layer(Layer::new(tree(version).finish()))
}

impl Host {
    fn new() -> Self {
        let host = Self {
            images: tempfile::tempdir().unwrap(),
            before: ScratchSysroot::empty(),
        };
        let mut layout = LayoutBuilder::new(host.images.path());
        let mut tag = |tag: &str, version: &str| {
            layout.tag(tag, &system(version));
        };
        tag("latest", "1");
        let image = host.image("latest");
        let deploy = format!("deploy {image} --stateroot os --karg rw --karg quiet");
        host.run(host.before.path(), &deploy);
        tag("latest", "2");
        host.run(host.before.path(), "upgrade");
        tag("latest", "3");
        tag("other", "4");
        host
    }

    fn image(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.images.path().display())
    }

    fn command(&self, root: &Path, line: &str) -> Command {
        bootroot(&format!("-q --sysroot {} {line}", root.display()))
    }

    #[track_caller]
    fn run(&self, root: &Path, line: &str) -> String {
        answer(&mut self.command(root, line))
    }

    fn copy(&self) -> ScratchSysroot {
        let copy = ScratchSysroot::empty();
        let source = self.before.join(".");
        let mut cp = testkit::command("cp");
        testkit::run(cp.arg("-a").arg(source).arg(copy.path()));
        copy
    }

    /// What is there after the command was left alone, and what nothing needs was removed.
    fn expected(&self, line: &str) -> Vec<String> {
        let whole = self.copy();
        self.run(whole.path(), line);
        self.run(whole.path(), "cleanup");
        whole.facts()
    }

    /// A command that was killed has changed what boots entirely or not at all, and does the rest when it is
    /// called again.
    #[track_caller]
    fn assert_recovers(
        &self,
        system: &ScratchSysroot,
        line: &str,
        expected: &[String],
        case: &str,
    ) {
        let facts = system.facts();
        let found = outcome(&facts);
        assert!(
            found == outcome(expected) || found == outcome(&self.before.facts()),
            "{line}, {case}: {found:?}"
        );
        system.ostree("admin status --sysroot=.");
        let status = self.run(system.path(), "status --json");
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["damaged"], serde_json::json!([]), "{line}, {case}");
        if found != outcome(expected) {
            self.run(system.path(), line);
        }
        self.run(system.path(), "cleanup");
        assert_eq!(system.facts(), expected, "{line}, {case}");
        system.ostree("fsck --quiet --repo=ostree/repo");
    }

    /// Kill the command at each passage of each of these points; how often it was killed.
    fn kill_at(&self, line: &str, points: &[&str]) -> u32 {
        let expected = self.expected(line);
        let mut killed = 0;
        for point in points {
            for nth in 1.. {
                let (system, at) = (self.copy(), format!("{point}:{nth}"));
                let mut command = self.command(system.path(), line);
                let died = command.env("BOOTROOT_CRASH_AT", &at).output().unwrap();
                if died.status.signal() != Some(6) {
                    assert!(died.status.success(), "{line}, {at}: {died:?}");
                    break;
                }
                killed += 1;
                self.assert_recovers(&system, line, &expected, &at);
            }
        }
        killed
    }

    fn kill_at_any_time(&self, line: &str, times: u32) {
        let expected = self.expected(line);
        let whole = self.copy();
        let started = Instant::now();
        self.run(whole.path(), line);
        let duration = started.elapsed();
        for time in 0..times {
            let system = self.copy();
            let pause: Duration = duration * time / times;
            let mut child = self.command(system.path(), line).spawn().unwrap();
            std::thread::sleep(pause);
            // It may have ended by itself.
            let _gone = child.kill();
            child.wait().unwrap();
            self.assert_recovers(&system, line, &expected, &format!("after {pause:?}"));
        }
    }
}

/// What the commands here change: what boots in which order, with which arguments, and what is pinned.
fn outcome(facts: &[String]) -> Vec<&str> {
    let decides = |fact: &&String| {
        let keys = ["title ", "options ", "pinned="];
        keys.iter().any(|key| fact.starts_with(key))
    };
    let decisive = facts.iter().filter(decides);
    decisive
        .map(|fact| fact.split(" ostree=").next().unwrap())
        .collect()
}

/// The points that a deployment passes beyond those of fetching (`tests/crash.rs`).
const DEPLOYING: [&str; 12] = [
    "sysroot:boot-set-removed",
    "sysroot:checked-out",
    "sysroot:image-made",
    "sysroot:etc-made",
    "sysroot:deployment-made",
    "sysroot:kernel-file-installed",
    "sysroot:entry-written",
    "sysroot:links-written",
    "sysroot:synced",
    "sysroot:switched",
    "sysroot:origin-removed",
    "prune:objects-deleted",
];

#[test]
fn upgrade() {
    let killed = Host::new().kill_at("upgrade", &DEPLOYING);
    assert!(killed > 8, "{killed}");
}

#[test]
fn switch_at_any_time() {
    let host = Host::new();
    let line = format!("switch {}", host.image("other"));
    host.kill_at_any_time(&line, 12);
}

#[test]
fn rollback_and_kernel_arguments() {
    let host = Host::new();
    for line in ["rollback 1", "kargs --append new=1 --in-place"] {
        let killed = host.kill_at(line, &["*"]);
        assert!(killed > 4, "{line}: {killed}");
    }
}

#[test]
fn undeploy_and_pin() {
    let host = Host::new();
    for (line, least) in [("undeploy 1", 6), ("pin 1", 0)] {
        let killed = host.kill_at(line, &["*"]);
        assert!(killed > least, "{line}: {killed}");
    }
}

#[test]
fn changes_at_any_time() {
    let host = Host::new();
    for line in [
        "rollback 1",
        "undeploy 1",
        "kargs --append new=1 --in-place",
    ] {
        host.kill_at_any_time(line, 6);
    }
}
