//! `bootroot ostree static-delta` beside the real `ostree`: the same answers, and each verifies what the other signed.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{answer, bootroot, ostree, said, sorted_lines};
use tempfile::TempDir;

/// A repository with two commits, and one more.
struct Repo {
    dir: TempDir,
    delta: String,
    new: String,
}

impl Repo {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (repo, tree) = (dir.path().join("repo"), dir.path().join("tree"));
        let repo = repo.display();
        answer(&mut ostree(&format!("init --mode=archive --repo={repo}")));
        fs::create_dir(&tree).unwrap();
        let commit = |content: &str| {
            fs::write(tree.join("file"), content.repeat(1000)).unwrap();
            let line = format!("commit --repo={repo} -b main {}", tree.display());
            answer(&mut ostree(&line)).trim().to_owned()
        };
        let (old, new) = (commit("old content"), commit("new content"));
        let delta = format!("{old}-{new}");
        Self { dir, delta, new }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn line(&self, verb: &str) -> String {
        format!("static-delta --repo={} {verb}", self.path("repo").display())
    }

    fn ours(&self, verb: &str) -> Command {
        let mut command = bootroot(&format!("ostree {}", self.line(verb)));
        command.env("OSTREE_DUMMY_SIGN_ENABLED", "1");
        command
    }

    fn theirs(&self, verb: &str) -> Command {
        let mut command = ostree(&self.line(verb));
        command.env("OSTREE_DUMMY_SIGN_ENABLED", "1");
        command
    }

    /// Both give the same answer, but for the order of lines, which the real program leaves to chance.
    #[track_caller]
    fn same(&self, verb: &str) -> String {
        let ours = answer(&mut self.ours(verb));
        let theirs = answer(&mut self.theirs(verb));
        assert_eq!(sorted_lines(&ours), sorted_lines(&theirs), "{verb}");
        ours
    }
}

#[test]
fn lists_and_descriptions_are_the_same() {
    let repo = Repo::make();
    assert!(repo.same("list").contains("No static deltas"));
    assert!(repo.same("indexes").contains("No static deltas"));
    answer(&mut repo.ours("generate main"));
    answer(&mut repo.theirs("generate --empty --swap-endianness main"));
    repo.same("list");
    answer(&mut repo.ours("reindex"));
    assert_eq!(repo.same("indexes"), format!("{}\n", repo.new));
    for name in [&repo.delta, &repo.new] {
        // What the older program says, the newer one says, too: it knows signed deltas besides.
        let ours = answer(&mut repo.ours(&format!("show {name}")));
        let theirs = answer(&mut repo.theirs(&format!("show {name}")));
        let unsigned = |text: &str| text.replace("Signed: no\n", "");
        assert_eq!(unsigned(&ours), unsigned(&theirs));
    }
    let again = answer(&mut repo.ours("generate --if-not-exists main"));
    assert_eq!(again, format!("Delta {} already exists.\n", repo.delta));
    answer(&mut repo.ours(&format!("delete {}", repo.delta)));
    assert_eq!(repo.same("list"), format!("{}\n", repo.new));
}

/// What a verification said, and whether it succeeded.
fn verdict(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text + &said(&output))
}

#[test]
fn each_verifies_what_the_other_signed() {
    let repo = Repo::make();
    let sign = "generate --sign-type=dummy --sign=secret main";
    for (signed, checked) in [
        (repo.ours(sign), repo.theirs("verify")),
        (repo.theirs(sign), repo.ours("verify")),
        (repo.ours(sign), repo.ours("verify")),
    ] {
        let (mut signed, mut good, mut bad) = (signed, checked, repo.ours("verify"));
        answer(&mut signed);
        good.args(["--sign-type=dummy", &repo.delta, "secret"]);
        let (done, text) = verdict(&mut good);
        assert!(done && text.contains("Verification OK"), "{text}");
        bad.args(["--sign-type=dummy", &repo.delta, "other"]);
        let (done, text) = verdict(&mut bad);
        assert!(!done && text.contains("Verification fails"), "{text}");
    }
    answer(&mut repo.ours("generate main"));
    let verify = format!("verify --sign-type=dummy {} secret", repo.delta);
    let (done, text) = verdict(&mut repo.ours(&verify));
    assert!(
        !done && text.contains("no signatures in static-delta"),
        "{text}"
    );
}

#[test]
fn the_dummy_scheme_is_for_tests_only() {
    let repo = Repo::make();
    let mut command = repo.ours("generate --sign-type=dummy --sign=secret main");
    let (done, text) = verdict(command.env_remove("OSTREE_DUMMY_SIGN_ENABLED"));
    assert!(!done && !repo.path("repo/deltas").exists(), "{text}");
}

#[test]
fn ed25519_signs_verifies_and_guards_what_is_applied() {
    // The first test of RFC 8032, section 7.1; libostree's secret keys have the public one behind them.
    let public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let secret =
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
    let wrong = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
    let repo = Repo::make();
    let file = repo.path("one.delta");
    let file = file.display();
    answer(&mut repo.ours(&format!(
        "generate --inline --filename={file} --sign={secret} main"
    )));
    assert!(!repo.path("repo/deltas").exists());
    let (done, text) = verdict(&mut repo.ours(&format!("verify {file} {wrong} {public}")));
    assert!(done, "{text}");
    let client = repo.path("client");
    let old = repo.delta.split_once('-').unwrap().0;
    for line in [
        format!("init --mode=bare-user --repo={}", client.display()),
        format!(
            "pull-local --repo={} {} {old}",
            client.display(),
            repo.path("repo").display()
        ),
        format!(
            "config --repo={} set core.sign-verify-deltas true",
            client.display()
        ),
    ] {
        answer(&mut ostree(&line));
    }
    let apply = |path: &Path, key: &str| {
        let line = format!(
            "ostree static-delta --repo={} apply-offline {} {key}",
            client.display(),
            path.display()
        );
        verdict(&mut bootroot(&line))
    };
    let signed = repo.path("one.delta");
    let (done, text) = apply(&signed, "");
    assert!(
        !done && text.contains("Key is mandatory to check delta signature"),
        "{text}"
    );
    let (done, text) = apply(&signed, wrong);
    assert!(!done, "{text}");
    answer(&mut repo.ours(&format!(
        "generate --inline --filename={} main",
        repo.path("plain").display()
    )));
    let (done, text) = apply(&repo.path("plain"), public);
    assert!(
        !done && text.contains("no signatures in static-delta"),
        "{text}"
    );
    let (done, text) = apply(&signed, public);
    assert!(done, "{text}");
    answer(&mut ostree(&format!("fsck --repo={}", client.display())));
    answer(&mut ostree(&format!(
        "ls --repo={} {}",
        client.display(),
        repo.new
    )));
}

/// A patch is far smaller than the pieces that are new.
#[test]
fn small_files_are_patched_however_much_of_them_is_found_again() {
    let repo = Repo::make();
    let content: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let commit = |start: &str| {
        fs::write(
            repo.path("tree/file"),
            [start.as_bytes(), &content].concat(),
        )
        .unwrap();
        let (root, tree) = (repo.path("repo"), repo.path("tree"));
        let line = format!(
            "commit --repo={} -b main {}",
            root.display(),
            tree.display()
        );
        answer(&mut ostree(&line));
    };
    commit("");
    commit("a header");
    for (options, patched) in [
        ("", 1),
        ("--disable-bsdiff", 0),
        ("--max-bsdiff-size=0", 0),
        ("--max-bsdiff-size=10000", 1),
    ] {
        let done = repo
            .ours(&format!("generate {options} main"))
            .output()
            .unwrap();
        let told = said(&done);
        let expected = format!("bsdiff={patched} objects");
        assert!(told.contains(&expected), "{options}: {told}");
    }
}
