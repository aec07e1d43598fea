//! The process is killed at every crash point, one after the other: afterwards the old or the new entries boot, what is
//! deployed can be told and is whole, and doing it again completes it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use boot_format::KernelArgs;
use composefs_format::Digest;
use composefs_root::{FinalizedRoot, MenuChange, RootDeployment, RootError};

use crate::support::{System, read, request};

/// What the child is to do: the system, the verb, the images before and after, and the crash point to die at.
const TASK: &str = "ROOTS_CRASH_TASK";

/// What is done to a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Deploy,
    Stage,
    Finalize,
    RollBack,
    CleanUp,
    Remove,
    RemoveAll,
    Arguments,
    ArgumentsOfStaged,
    Pin,
    Reset,
}

const VERBS: [(Verb, &str); 11] = [
    (Verb::Deploy, "deploy"),
    (Verb::Stage, "stage"),
    (Verb::Finalize, "finalize"),
    (Verb::RollBack, "roll-back"),
    (Verb::CleanUp, "clean-up"),
    (Verb::Remove, "remove"),
    (Verb::RemoveAll, "remove-all"),
    (Verb::Arguments, "arguments"),
    (Verb::ArgumentsOfStaged, "arguments-of-staged"),
    (Verb::Pin, "pin"),
    (Verb::Reset, "reset"),
];

fn perform(dir: &Path, verb: Verb, before: Digest, after: Digest) {
    let system = System::at(&dir.join("system"));
    let running = || system.running(before, &dir.join("run"));
    match verb {
        Verb::Deploy => drop(system.roots().deploy(&request(after, None)).unwrap()),
        Verb::Stage => drop(running().deploy(&request(after, None)).unwrap()),
        // When it is called again, nothing may be left to do.
        Verb::Finalize => drop(running().finalize().unwrap()),
        Verb::RollBack => drop(system.roots().roll_back(Some(&before)).unwrap()),
        Verb::CleanUp => drop(system.roots().clean_up().unwrap()),
        // When it is called again, there may be none.
        Verb::Remove => match system.roots().change(&MenuChange::Remove(before)) {
            Ok(_) | Err(RootError::NoDeployment(_)) => {}
            Err(error) => panic!("{error}"),
        },
        Verb::RemoveAll => drop(system.roots().change(&MenuChange::RemoveAll).unwrap()),
        Verb::Arguments => drop(system.roots().change(&arguments()).unwrap()),
        Verb::ArgumentsOfStaged => drop(running().change(&arguments()).unwrap()),
        Verb::Reset => {
            let fresh = request(before, Some("root=/dev/vda fresh"));
            let there = system.roots().stateroots().unwrap().len();
            system
                .roots()
                .reset(&fresh, &format!("os-{there}"))
                .unwrap();
        }
        Verb::Pin => system.roots().set_pinned(&before, true).unwrap(),
    }
}

fn arguments() -> MenuChange {
    MenuChange::Arguments(KernelArgs::parse("root=/dev/vdb new"))
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let [dir, verb, before, after, nth]: [&str; 5] =
        task.split('|').collect::<Vec<_>>().try_into().unwrap();
    if nth != "0" {
        durable::crash::arm("*", nth.parse().unwrap());
    }
    let verb = VERBS.iter().find(|(_, name)| *name == verb).unwrap().0;
    perform(
        Path::new(dir),
        verb,
        before.parse().unwrap(),
        after.parse().unwrap(),
    );
}

/// A system that has, or runs, one image, and is to get another.
struct Case {
    dir: tempfile::TempDir,
    verb: Verb,
    before: Digest,
    after: Digest,
}

impl Case {
    fn new(verb: Verb) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("whole/system/boot")).unwrap();
        fs::create_dir(dir.path().join("whole/run")).unwrap();
        let system = System::at(&dir.path().join("whole/system"));
        let before = system.image("1", "kernel 1", "1");
        let after = system.image("2", "kernel 2", "2");
        let first = request(before, Some("root=/dev/vda"));
        system.roots().deploy(&first).unwrap();
        fs::write(system.etc(&before, "mine"), "mine").unwrap();
        let case = Self {
            dir,
            verb,
            before,
            after,
        };
        match verb {
            Verb::Finalize | Verb::ArgumentsOfStaged => {
                perform(&case.whole(), Verb::Stage, before, after);
            }
            Verb::RollBack | Verb::Remove | Verb::RemoveAll | Verb::Arguments => {
                perform(&case.whole(), Verb::Deploy, before, after);
            }
            Verb::CleanUp => {
                for name in ["state/deploy/.tmp-x/etc", "boot/bootc_composefs-x"] {
                    fs::create_dir_all(system.path(name)).unwrap();
                }
            }
            Verb::Deploy | Verb::Stage | Verb::Pin | Verb::Reset => {}
        }
        case
    }

    fn whole(&self) -> std::path::PathBuf {
        self.dir.path().join("whole")
    }

    fn copy(&self, name: &str) -> std::path::PathBuf {
        let copy = self.dir.path().join(name);
        testkit::run(
            testkit::command("cp")
                .arg("-a")
                .arg(self.whole())
                .arg(&copy),
        );
        copy
    }

    /// Let a child do it and die at the `nth` crash point; whether it died.
    fn killed(&self, dir: &Path, nth: u32) -> bool {
        let name = VERBS.iter().find(|(verb, _)| *verb == self.verb).unwrap().1;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "crash::child", "--nocapture"]);
        let (dir, before, after) = (dir.display(), self.before, self.after);
        child.env(TASK, format!("{dir}|{name}|{before}|{after}|{nth}"));
        let output = child.stdin(Stdio::null()).output().unwrap();
        let aborted = output.status.signal() == Some(6);
        assert!(aborted || output.status.success(), "{output:?}");
        aborted
    }

    /// What boots: the entries without what is only said about them.
    fn boots(&self, dir: &Path) -> Vec<Digest> {
        let menu = System::at(&dir.join("system")).roots().menu().unwrap();
        menu.iter()
            .filter_map(|entry| entry.id().copied())
            .collect()
    }

    fn seen(&self, dir: &Path) -> Vec<RootDeployment> {
        let system = System::at(&dir.join("system"));
        let staging = matches!(
            self.verb,
            Verb::Stage | Verb::Finalize | Verb::ArgumentsOfStaged
        );
        let roots = match staging {
            true => system.running(self.before, &dir.join("run")),
            false => system.roots(),
        };
        roots.deployments().unwrap()
    }

    /// Everything that decides: names and texts of entries, states with their `/etc`, kernels, what is staged.
    fn facts(&self, dir: &Path) -> String {
        let script = "cd $1
            for file in system/boot/loader/entries*/* system/state/deploy/*/*.origin system/state/deploy/*/etc/* run/composefs/*; do
                test -f $file && echo $file && cat $file && echo
            done
            find system/boot system/state run -not -name '.bootroot-lock' -not -path 'run/*.tmp' | sort";
        testkit::shell(&script.replace("$1", &dir.display().to_string()))
    }
}

#[track_caller]
fn kill_everywhere(verb: Verb) -> u32 {
    let case = Case::new(verb);
    let expected = case.copy("expected");
    assert!(!case.killed(&expected, 0));
    let (old, new) = (case.boots(&case.whole()), case.boots(&expected));
    let mut killed = 0;
    for nth in 1.. {
        let dir = case.copy(&nth.to_string());
        if !case.killed(&dir, nth) {
            return killed;
        }
        killed += 1;
        let found = case.boots(&dir);
        assert!(found == old || found == new, "{verb:?}, {nth}: {found:?}");
        for one in case.seen(&dir) {
            assert!(one.problems.is_empty(), "{verb:?}, {nth}: {one:?}");
        }
        assert!(!case.killed(&dir, 0), "{verb:?}, {nth}");
        assert_eq!(case.facts(&dir), case.facts(&expected), "{verb:?}, {nth}");
        fs::remove_dir_all(&dir).unwrap();
    }
    killed
}

#[test]
fn deploy() {
    let killed = kill_everywhere(Verb::Deploy);
    assert!(killed > 8, "{killed}");
}

#[test]
fn stage() {
    let killed = kill_everywhere(Verb::Stage);
    assert!(killed > 6, "{killed}");
}

#[test]
fn finalize() {
    let killed = kill_everywhere(Verb::Finalize);
    assert!(killed > 4, "{killed}");
}

#[test]
fn roll_back() {
    let killed = kill_everywhere(Verb::RollBack);
    assert!(killed > 4, "{killed}");
}

#[test]
fn clean_up() {
    let killed = kill_everywhere(Verb::CleanUp);
    assert!(killed > 0, "{killed}");
}

#[test]
fn remove() {
    let killed = kill_everywhere(Verb::Remove);
    assert!(killed > 1, "{killed}");
}

#[test]
fn remove_all() {
    let killed = kill_everywhere(Verb::RemoveAll);
    assert!(killed > 3, "{killed}");
}

#[test]
fn arguments_of_what_boots_first() {
    let killed = kill_everywhere(Verb::Arguments);
    assert!(killed > 1, "{killed}");
}

#[test]
fn arguments_of_what_is_staged() {
    let killed = kill_everywhere(Verb::ArgumentsOfStaged);
    assert!(killed > 1, "{killed}");
}

/// What was there is there: in its place, or beside the old `/var`.
#[test]
fn reset() {
    let case = Case::new(Verb::Reset);
    let (id, mut killed) = (case.before, 0);
    for nth in 1.. {
        let dir = case.copy(&nth.to_string());
        if !case.killed(&dir, nth) {
            break;
        }
        killed += 1;
        assert_eq!(case.boots(&dir), [id], "{nth}");
        let system = System::at(&dir.join("system"));
        let problems = |system: &System| {
            let found = system.roots().deployments().unwrap();
            found.into_iter().flat_map(|one| one.problems).count()
        };
        assert_eq!(problems(&system), 0, "{nth}");
        let kept = system.path(&format!("state/os/default/deploy-{id}/etc/mine"));
        let is_old = system.etc(&id, "mine").exists();
        assert!(is_old != kept.exists(), "{nth}");
        assert!(!case.killed(&dir, 0), "{nth}");
        assert_eq!(read(&kept), "mine", "{nth}");
        assert!(!system.etc(&id, "mine").exists(), "{nth}");
        assert_eq!(problems(&system), 0, "{nth}");
        let menu = system.roots().menu().unwrap();
        let args = menu.first().unwrap().own_args().to_strings().join(" ");
        assert_eq!(args, "root=/dev/vda fresh", "{nth}");
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(killed > 5, "{killed}");
}

#[test]
fn pin() {
    let killed = kill_everywhere(Verb::Pin);
    assert!(killed > 0, "{killed}");
}

/// The power fails before what is staged is completed: `/run` is gone, the old boots, and staging again works.
#[test]
fn a_stage_without_its_shutdown() {
    let case = Case::new(Verb::Finalize);
    let dir = case.whole();
    fs::remove_dir_all(dir.join("run")).unwrap();
    fs::create_dir(dir.join("run")).unwrap();
    assert_eq!(case.boots(&dir), [case.before]);
    assert!(case.seen(&dir).iter().all(|one| !one.staged));
    perform(&dir, Verb::Stage, case.before, case.after);
    let system = System::at(&dir.join("system"));
    let running = system.running(case.before, &dir.join("run"));
    assert_eq!(running.finalize().unwrap(), FinalizedRoot::Done(case.after));
    assert_eq!(case.boots(&dir), [case.after, case.before]);
    assert_eq!(read(&system.etc(&case.after, "mine")), "mine");
}
