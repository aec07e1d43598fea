//! The process is killed at every crash point, one after the other: afterwards the old or the new
//! deployments boot, `ostree admin status` works, and doing it again completes it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::{Lab, Line, assert_same, listing, make_tree, options, request};
use ostree_format::Checksum;
use sysroot::{DeploymentId, Retain};

/// What the child is to do: the sysroot, the verb, and the crash point to die at.
const TASK: &str = "SYSROOT_CRASH_TASK";

/// What is done to a sysroot.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Deploy(Checksum),
    Undeploy,
    SetDefault,
    Pin,
    Stage(Checksum),
    Finalize,
}

fn perform(lab: &Lab, verb: &str, argument: &str) {
    match verb {
        "deploy" => {
            let mut request = request("os", argument.parse().unwrap(), "b");
            request.retain = Retain {
                all: true,
                ..Retain::default()
            };
            request.kernel_args.set = vec!["rw".to_owned()];
            lab.deploy(&request).unwrap();
        }
        "undeploy" => lab.undeploy(1),
        "set-default" => lab.set_default(1),
        "stage" => {
            lab.stage(&request("os", argument.parse().unwrap(), "b"), false);
        }
        "finalize" => {
            lab.finalize().unwrap();
        }
        "pin" => assert!(lab.pin(1, true)),
        other => panic!("{other}"),
    }
}

impl Verb {
    fn words(self) -> (&'static str, String) {
        match self {
            Self::Deploy(commit) => ("deploy", commit.to_string()),
            Self::Undeploy => ("undeploy", String::new()),
            Self::SetDefault => ("set-default", String::new()),
            Self::Pin => ("pin", String::new()),
            Self::Stage(commit) => ("stage", commit.to_string()),
            Self::Finalize => ("finalize", String::new()),
        }
    }
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let [root, verb, argument, nth]: [&str; 4] =
        task.split('|').collect::<Vec<_>>().try_into().unwrap();
    if nth != "0" {
        durable::crash::arm("*", nth.parse().unwrap());
    }
    perform(&Lab::at(PathBuf::from(root), options()), verb, argument);
}

/// Start a child that does it and dies at the `nth` crash point, at none for 0.
fn spawn(root: &Path, verb: Verb, nth: u32) -> Child {
    let (name, argument) = verb.words();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "crash::child", "--nocapture"]);
    child.env(TASK, format!("{}|{name}|{argument}|{nth}", root.display()));
    child
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Let a child do it and die at the `nth` crash point; whether it died.
fn killed(root: &Path, verb: Verb, nth: u32) -> bool {
    let output = spawn(root, verb, nth).wait_with_output().unwrap();
    let aborted = output.status.signal() == Some(6);
    let said = [output.stdout, output.stderr].concat();
    assert!(
        aborted || output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
    aborted
}

fn copy(from: &Path, to: &Path) -> Lab {
    let _ = fs::remove_dir_all(to);
    testkit::run(testkit::command("cp").arg("-a").arg(from).arg(to));
    Lab::at(to.to_owned(), options())
}

fn ids(lab: &Lab) -> Vec<DeploymentId> {
    lab.load()
        .deployments
        .iter()
        .map(|deployment| deployment.id.clone())
        .collect()
}

/// Everything but times, for a copy has new ones, and but `/run`, which is gone after a power cut.
fn settled(lab: &Lab) -> Vec<Line> {
    let mut lines = listing(&lab.root);
    lines.retain(|line| !line.path.starts_with("run"));
    lines.iter_mut().for_each(|line| line.epoch = false);
    lines
}

/// A sysroot before a change and what it shall be afterwards.
struct Trial {
    scratch: tempfile::TempDir,
    before: PathBuf,
    verb: Verb,
    old: Vec<DeploymentId>,
    new: Vec<DeploymentId>,
    after: Lab,
    expected: Vec<Line>,
    /// Whether `/run` is lost whenever the process is killed.
    power_cut: bool,
}

impl Trial {
    fn new(before: &Path, verb: Verb) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let old = ids(&Lab::at(before.to_owned(), options()));
        let after = copy(before, &scratch.path().join("after"));
        let (name, argument) = verb.words();
        perform(&after, name, &argument);
        let (new, expected) = (ids(&after), settled(&after));
        Self {
            scratch,
            before: before.to_owned(),
            verb,
            old,
            new,
            after,
            expected,
            power_cut: false,
        }
    }

    fn fresh(&self) -> Lab {
        copy(&self.before, &self.scratch.path().join("S"))
    }

    /// Kill at every crash point; how many there were.
    fn kill_everywhere(&self) -> u32 {
        for nth in 1.. {
            let lab = self.fresh();
            if !killed(&lab.root, self.verb, nth) {
                return nth - 1;
            }
            self.check(
                &lab,
                &format!("{:?} killed at crash point {nth}", self.verb),
            );
        }
        unreachable!()
    }

    /// Kill at `times` moments, evenly spread over the time that it takes.
    fn kill_at_any_time(&self, times: u32) {
        let started = Instant::now();
        spawn(&self.fresh().root, self.verb, 0).wait().unwrap();
        let whole = started.elapsed();
        for time in 0..times {
            let lab = self.fresh();
            let mut child = spawn(&lab.root, self.verb, 0);
            std::thread::sleep(whole * time / times);
            child.kill().unwrap();
            child.wait().unwrap();
            self.check(
                &lab,
                &format!(
                    "{:?} killed after {:?} of {whole:?}",
                    self.verb,
                    whole * time / times
                ),
            );
        }
    }

    /// The old or the new deployments boot, and doing it again completes it.
    #[track_caller]
    fn check(&self, lab: &Lab, case: &str) {
        if self.power_cut {
            let _nothing_staged = fs::remove_dir_all(lab.root.join("run"));
        }
        let state = lab.load();
        assert!(state.damaged.is_empty(), "{case}: {:?}", state.damaged);
        let found = ids(lab);
        assert!(found == self.old || found == self.new, "{case}: {found:?}");
        for deployment in &state.deployments {
            assert!(
                deployment.problems.is_empty(),
                "{case}: {:?}",
                deployment.problems
            );
            assert_complete(lab, &self.after, &deployment.id, case);
        }
        lab.admin("status", &[]);
        let is_done = match self.verb {
            Verb::Pin => state.deployments[1].is_pinned(),
            // When it boots already, the stage may still stand in `/run`.
            Verb::Finalize => false,
            Verb::Stage(_) => lab.running().load().unwrap().staged().is_some(),
            _ => found == self.new,
        };
        if !is_done {
            let (name, argument) = self.verb.words();
            perform(lab, name, &argument);
        }
        lab.locked(|locked| locked.cleanup().unwrap());
        lab.locked(|locked| assert!(locked.cleanup().unwrap().is_empty(), "{case}"));
        assert_same(&self.expected, &settled(lab));
        lab.ostree(&["fsck", "--quiet"]);
    }
}

fn kill_everywhere(before: &Path, verb: Verb) -> u32 {
    Trial::new(before, verb).kill_everywhere()
}

/// A deployment that is led to has everything, whichever moment it is.
#[track_caller]
fn assert_complete(lab: &Lab, after: &Lab, id: &DeploymentId, case: &str) {
    let whole = after.root.join(id.path());
    if whole.exists() {
        let differences =
            testkit::manifest(&whole).differences(&testkit::manifest(&lab.root.join(id.path())));
        assert!(differences.is_empty(), "{case}: {differences:?}");
    }
}

/// A sysroot with two commits, the first of which is deployed `times` times.
fn prepare(scratch: &Path, times: usize) -> (Lab, Checksum) {
    let lab = Lab::ours(scratch.join("before"), options());
    lab.init_stateroot("os");
    let commits = ["1", "2"].map(|version| {
        let tree = scratch.join(version);
        make_tree(&tree, version, &format!("6.{version}.0"));
        lab.commit(&format!("b{version}"), &tree, version)
    });
    for _ in 0..times {
        perform(&lab, "deploy", &commits[0].to_string());
        let etc = lab.deployment(0).join("etc");
        fs::write(etc.join("a"), "local").unwrap();
        fs::write(etc.join("added"), "local").unwrap();
        let _ = fs::remove_file(etc.join("b"));
    }
    (lab, commits[1])
}

#[test]
fn first_deployment() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = prepare(scratch.path(), 0);
    let points = kill_everywhere(&lab.root, Verb::Deploy(commit));
    assert!(points > 15, "{points}");
}

#[test]
fn another_kernel_and_merged_etc() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = prepare(scratch.path(), 1);
    let points = kill_everywhere(&lab.root, Verb::Deploy(commit));
    assert!(points > 15, "{points}");
}

#[test]
fn undeploy() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, _) = prepare(scratch.path(), 2);
    let points = kill_everywhere(&lab.root, Verb::Undeploy);
    assert!(points > 8, "{points}");
}

#[test]
fn behind_equal_entries_only_links_move() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, _) = prepare(scratch.path(), 2);
    let loader = fs::read_link(lab.root.join("boot/loader")).unwrap();
    let points = kill_everywhere(&lab.root, Verb::SetDefault);
    assert!(points > 4, "{points}");
    lab.set_default(1);
    assert_eq!(fs::read_link(lab.root.join("boot/loader")).unwrap(), loader);
}

#[test]
fn pin() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, _) = prepare(scratch.path(), 2);
    assert!(kill_everywhere(&lab.root, Verb::Pin) > 0);
}

#[test]
fn finalizing() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = prepare(scratch.path(), 1);
    lab.stage(&request("os", commit, "b2"), false);
    let points = kill_everywhere(&lab.root, Verb::Finalize);
    assert!(points > 15, "{points}");
}

#[test]
fn staging() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = prepare(scratch.path(), 1);
    for power_cut in [false, true] {
        let mut trial = Trial::new(&lab.root, Verb::Stage(commit));
        trial.power_cut = power_cut;
        let points = trial.kill_everywhere();
        assert!(points > 8, "{points}");
    }
}

/// The stage is lost neither with the process nor with `/run`.
#[test]
fn power_cuts_while_finalizing() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = prepare(scratch.path(), 1);
    lab.stage(&request("os", commit, "b2"), false);
    let mut trial = Trial::new(&lab.root, Verb::Finalize);
    trial.power_cut = true;
    assert!(trial.kill_everywhere() > 15);
}

#[test]
fn at_any_time() {
    let scratch = tempfile::tempdir().unwrap();
    let (lab, commit) = prepare(scratch.path(), 1);
    Trial::new(&lab.root, Verb::Deploy(commit)).kill_at_any_time(25);
}
