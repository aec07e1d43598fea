//! `bootroot ostree` beside the real `ostree`: the same arguments, the same answers.

mod support;

use std::fs;
use std::path::PathBuf;

use support::{answer, bootroot, ostree, refusal, sorted_lines};

const MODES: [&str; 4] = ["bare", "bare-user", "bare-user-only", "archive"];
const VERSIONS: [(&str, &str); 2] = [("v1", "golden/v^"), ("v2", "golden/v")];

fn repo(mode: &str) -> String {
    testkit::golden("repos").join(mode).display().to_string()
}

/// What the real program said when the golden data was made.
fn recorded(name: &str) -> String {
    let path: PathBuf = testkit::golden("expect").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_as_recorded(verb: &str, kind: &str) {
    for mode in MODES {
        for (version, rev) in VERSIONS {
            let ours = answer(&mut bootroot(&format!(
                "ostree {verb} --repo {} {rev}",
                repo(mode)
            )));
            let name = format!("{mode}.{version}.{kind}");
            assert!(ours == recorded(&name), "differs from {name}");
        }
    }
}

#[test]
fn listings_are_as_recorded() {
    assert_as_recorded("ls -R -C -X", "ls");
}

#[test]
fn commits_are_shown_as_recorded() {
    assert_as_recorded("show", "show");
    assert_as_recorded("show --raw", "commit.raw");
    assert_as_recorded("rev-parse", "rev");
}

#[test]
fn sizes_are_shown_as_recorded() {
    let line = format!(
        "ostree show --print-sizes --repo {} golden/v",
        repo("archive")
    );
    assert_eq!(answer(&mut bootroot(&line)), recorded("archive.v2.sizes"));
    let line = format!(
        "ostree show --print-sizes --repo {} golden/v^",
        repo("archive")
    );
    assert!(refusal(&mut bootroot(&line), 1).contains("ostree.sizes"));
}

#[test]
fn metadata_objects_are_shown_as_recorded() {
    let recorded = recorded("archive.metadata-objects.txt");
    let repo = repo("archive");
    let headings = recorded.lines().filter_map(|line| {
        let (kind, checksum) = line.split_once(' ')?;
        (["commit", "dirtree", "dirmeta"].contains(&kind) && checksum.len() == 64)
            .then_some((line, checksum))
    });
    let mut count = 0;
    for (heading, checksum) in headings {
        let ours = answer(&mut bootroot(&format!(
            "ostree show --raw --repo {repo} {checksum}"
        )));
        assert!(
            ours.starts_with(heading) && recorded.contains(&ours),
            "differs: {heading}"
        );
        count += 1;
    }
    assert!(count > 50, "only {count} objects in the record");
}

/// The last line of a check; those before it say what is being done.
#[test]
fn a_check_ends_as_that_of_the_real_program() {
    for mode in MODES.iter().chain(&["partial"]) {
        let line = format!("fsck --repo {}", repo(mode));
        let theirs = answer(&mut ostree(&line));
        let ours = answer(&mut bootroot(&format!("ostree {line}")));
        assert_eq!(ours.lines().last(), theirs.lines().last(), "{ours}");
        assert!(ours.contains("completed successfully"), "{ours}");
    }
}

/// Both programs are asked; orders that the real one leaves to chance are sorted away.
#[track_caller]
fn assert_same(arguments: &str) {
    let theirs = answer(&mut ostree(arguments));
    let ours = answer(&mut bootroot(&format!("ostree {arguments}")));
    assert_eq!(sorted_lines(&ours), sorted_lines(&theirs), "{arguments}");
}

#[test]
fn both_programs_give_the_same_answers() {
    let repo = repo("bare");
    for arguments in [
        "refs",
        "refs golden",
        "refs golden/v",
        "refs --list golden",
        "refs nothing/here",
        "ls golden/v",
        "ls -d golden/v",
        "ls golden/v /usr/share/tricky/ln /usr/etc/app.conf",
        "ls -d golden/v usr/share/tricky/hl",
        "ls -R --nul-filenames-only golden/v",
        "ls -X golden/v /usr/share/tricky",
        "show -B golden/v",
        "show --raw -B golden/v",
        "show --print-metadata-key=version golden/v",
        "show --print-metadata-key=golden.arr golden/v^",
        "show -B --print-metadata-key=golden.u32 golden/v^",
        "show --print-related golden/v",
        "rev-parse golden/v golden/v^ golden/empty",
        "rev-parse f161c393",
    ] {
        assert_same(&format!("{arguments} --repo={repo}"));
    }
}

#[test]
fn refs_are_created_and_deleted() {
    let copy = testkit::golden_copy("repos");
    let repo = copy.path().join("bare");
    let ours = |line: &str| bootroot(&format!("ostree {line} --repo {}", repo.display()));
    answer(&mut ours("refs --create new/a golden/v"));
    answer(&mut ours("refs --create origin:far golden/v^"));
    assert!(refusal(&mut ours("refs --create new/a golden/empty"), 1).contains("already exists"));
    answer(&mut ours("refs --create new/a golden/empty --force"));
    let list = format!("refs --repo {}", repo.display());
    assert_same(&list);
    for prefix in ["origin:", "new", "origin:far"] {
        assert_same(&format!("{list} {prefix}"));
    }
    let rev = |name: &str| {
        answer(&mut ostree(&format!(
            "rev-parse {name} --repo {}",
            repo.display()
        )))
    };
    assert_eq!(rev("new/a"), rev("golden/empty"));
    assert_eq!(rev("origin:far"), rev("golden/v^"));
    answer(&mut ours("refs --delete new"));
    answer(&mut ours("refs --delete origin:far"));
    let left = answer(&mut ostree(&list));
    assert!(!left.contains("new") && !left.contains("far") && left.contains("golden/v"));
}

#[test]
fn repositories_of_every_mode_are_made() {
    let dir = tempfile::tempdir().unwrap();
    for mode in ["bare", "bare-user", "bare-user-only", "archive"] {
        let path = dir.path().join("ours").join(mode);
        answer(&mut bootroot(&format!(
            "ostree init --mode {mode} --repo {}",
            path.display()
        )));
        let theirs = dir.path().join(mode);
        answer(&mut ostree(&format!(
            "init --mode={mode} --repo={}",
            theirs.display()
        )));
        let config = |path: PathBuf| fs::read_to_string(path.join("config")).unwrap();
        assert_eq!(config(path.clone()), config(theirs));
        assert!(
            answer(&mut ostree(&format!("fsck --repo={}", path.display()))).contains("no errors")
        );
    }
}

#[test]
fn a_program_called_ostree_needs_no_ostree_in_front() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("ostree");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bootroot"), &link).unwrap();
    let mut command = std::process::Command::new(&link);
    let text = answer(command.args(["refs", "--repo", &repo("bare")]));
    assert!(text.contains("golden/v\n"));
}

#[test]
fn the_current_directory_may_be_the_repository() {
    let text = answer(bootroot("ostree refs").current_dir(repo("bare")));
    assert!(text.contains("golden/v\n"));
}

#[test]
fn damage_is_listed_and_is_a_failure() {
    let copy = testkit::golden_copy("repos");
    let repo = copy.path().join("archive");
    let listing = answer(&mut ostree(&format!(
        "ls -C --repo={} golden/v /usr/lib/os-release",
        repo.display()
    )));
    let checksum = listing.split_whitespace().nth(4).unwrap();
    fs::remove_file(repo.join(format!(
        "objects/{}/{}.filez",
        &checksum[..2],
        &checksum[2..]
    )))
    .unwrap();
    let output = bootroot(&format!("ostree fsck --repo {}", repo.display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = support::said(&output);
    assert!(
        said.contains("error: Object missing in commits") && said.contains(checksum),
        "{said}"
    );
}
