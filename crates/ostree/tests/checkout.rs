//! Checkouts against those that `ostree checkout` makes of the same repositories.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ostree::{CheckoutError, CheckoutOptions, CheckoutStats, Existing, Relabel, Repo};
use progress::{Interrupt, Silent};
use testkit::{TreeManifest, command, golden, manifest, run};

fn open(path: &Path) -> Repo {
    Repo::open(File::open(path).unwrap().into()).unwrap()
}

fn check_out(
    repo: &Repo,
    rev: &str,
    into: &Path,
    name: &str,
    options: &CheckoutOptions<'_>,
) -> Result<CheckoutStats, CheckoutError> {
    let commit = repo.resolve(rev).unwrap();
    let into = File::open(into).unwrap();
    repo.checkout(
        &commit,
        into.as_fd(),
        Path::new(name),
        options,
        &Silent,
        &Interrupt::default(),
    )
}

fn theirs(repo: &Path, rev: &str, into: &Path, options: &[&str]) {
    let repo = format!("--repo={}", repo.display());
    run(command("ostree")
        // Its cache of unpacked archive objects is deprecated and not ours.
        .args([&repo, "checkout", "--fsync=false", "--disable-cache"])
        .args(options)
        .arg(rev)
        .arg(into));
}

/// Whether its time is 0 and whether it is linked to the repository, for every path.
fn times_and_links(root: &Path) -> BTreeMap<String, (bool, bool)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let linked = !meta.is_dir() && meta.nlink() > 1;
            let zero = meta.mtime() == 0 && meta.mtime_nsec() == 0;
            // The time of a symbolic link is that of its object or of now: it is never set.
            let zero = zero || (meta.is_symlink() && linked);
            found.insert(
                path.strip_prefix(root).unwrap().display().to_string(),
                (zero, linked),
            );
            if meta.is_dir() {
                waiting.push(path);
            }
        }
    }
    found
}

#[track_caller]
fn assert_alike(ours: &Path, theirs: &Path) {
    manifest(theirs).assert_same(&manifest(ours));
    let (ours, theirs) = (times_and_links(ours), times_and_links(theirs));
    for (path, expected) in &theirs {
        assert_eq!(ours.get(path), Some(expected), "(time 0, linked) of {path}");
    }
}

#[test]
fn every_mode_is_checked_out_alike() {
    let plain = CheckoutOptions::default();
    let user = CheckoutOptions {
        user_mode: true,
        ..plain
    };
    let copy = CheckoutOptions {
        force_copy: true,
        ..plain
    };
    let sub = CheckoutOptions {
        subpath: Some("usr"),
        ..plain
    };
    let cases: [(&str, CheckoutOptions<'_>, &[&str]); 4] = [
        ("plain", plain, &[]),
        ("user", user, &["-U"]),
        ("copy", copy, &["--force-copy"]),
        ("sub", sub, &["--subpath=/usr"]),
    ];
    // Libostree links to where the repository is, so both have to be on one file system.
    for mode in ["bare", "bare-user", "archive", "bare-user-only"] {
        let repos = testkit::golden_copy("repos");
        let repo = repos.path().join(mode);
        for (case, options, arguments) in &cases {
            let (ours, oracle) = (format!("{case}-ours"), format!("{case}-theirs"));
            check_out(&open(&repo), "golden/v^", repos.path(), &ours, options).unwrap();
            let oracle = repos.path().join(oracle);
            theirs(&repo, "golden/v^", &oracle, arguments);
            assert_alike(&repos.path().join(ours), &oracle);
        }
    }
}

#[test]
fn checkouts_equal_the_recorded_ones() {
    let repos = testkit::golden_copy("repos");
    let expect = golden("expect");
    let cases = [
        ("bare", false, "bare"),
        ("archive", false, "archive"),
        ("bare-user", true, "bare-user-U"),
    ];
    for (mode, user_mode, recorded) in cases {
        let name = format!("{recorded}-out");
        let options = CheckoutOptions {
            user_mode,
            ..CheckoutOptions::default()
        };
        check_out(
            &open(&repos.path().join(mode)),
            "golden/v^",
            repos.path(),
            &name,
            &options,
        )
        .unwrap();
        let recorded_file = expect.join(format!("checkout-{recorded}.manifest"));
        TreeManifest::golden(&recorded_file).assert_same(&manifest(&repos.path().join(&name)));
    }
}

#[test]
fn one_thread_does_what_many_do() {
    let repos = testkit::golden_copy("repos");
    let repo = open(&repos.path().join("bare"));
    let stats = ["one", "eight"].map(|name| {
        let threads = NonZeroUsize::new(if name == "one" { 1 } else { 8 });
        let options = CheckoutOptions {
            threads,
            ..CheckoutOptions::default()
        };
        check_out(&repo, "golden/v", repos.path(), name, &options).unwrap()
    });
    assert_eq!(stats[0], stats[1]);
    let paths = ["one", "eight"].map(|name| repos.path().join(name));
    assert_alike(&paths[0], &paths[1]);
    let manifest = manifest(&paths[0]).0;
    let directories = manifest.values().filter(|entry| entry.kind == 'd').count() as u64;
    assert_eq!(stats[0].directories, directories + 1);
    assert_eq!(
        stats[0].linked + stats[0].copied,
        manifest.len() as u64 - directories
    );
}

#[test]
fn what_is_there_is_refused_or_united() {
    let repos = testkit::golden_copy("repos");
    let repo = open(&repos.path().join("bare"));
    let plain = CheckoutOptions::default();
    check_out(&repo, "golden/v", repos.path(), "tree", &plain).unwrap();
    let refused = check_out(&repo, "golden/v", repos.path(), "tree", &plain).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("cannot create directory tree"),
        "{refused}"
    );
    let file = repos.path().join("tree/usr/lib/os-release");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "other").unwrap();
    let union = CheckoutOptions {
        existing: Existing::Union,
        ..plain
    };
    check_out(&repo, "golden/v", repos.path(), "tree", &union).unwrap();
    theirs(
        &repos.path().join("bare"),
        "golden/v",
        &repos.path().join("theirs"),
        &[],
    );
    manifest(&repos.path().join("theirs")).assert_same(&manifest(&repos.path().join("tree")));
}

#[test]
fn copies_are_labelled_for_their_new_place() {
    let repos = testkit::golden_copy("repos");
    let repo = open(&repos.path().join("bare"));
    let label = |path: &[u8], mode: u32| {
        (path != b"/etc/hosts").then(|| format!("{}:{mode:o}\0", path.escape_ascii()).into_bytes())
    };
    let options = CheckoutOptions {
        force_copy: true,
        subpath: Some("/usr/etc"),
        relabel: Some(Relabel {
            prefix: "/etc",
            label: &label,
        }),
        ..CheckoutOptions::default()
    };
    check_out(&repo, "golden/v", repos.path(), "etc", &options).unwrap();
    let copied = manifest(&repos.path().join("etc"));
    assert!(!copied.0.is_empty());
    for (path, entry) in &copied.0 {
        let bits = match entry.kind {
            'd' => 0o040_000,
            'l' => 0o120_000,
            _ => 0o100_000,
        };
        let label = entry
            .xattrs
            .get("security.selinux")
            .unwrap_or_else(|| panic!("{path} has no label"));
        let suffix = format!(":{:o}\0", bits | entry.mode);
        assert!(label.ends_with(&hex::encode(suffix)), "{path} {label}");
    }
}

#[test]
fn whiteouts_are_passed_through() {
    let scratch = tempfile::tempdir().unwrap();
    let (repo, tree) = (scratch.path().join("repo"), scratch.path().join("tree"));
    fs::create_dir_all(tree.join("d")).unwrap();
    fs::write(tree.join("d/.ostree-wh.gone"), "").unwrap();
    fs::write(tree.join("d/kept"), "x").unwrap();
    let repo_arg = format!("--repo={}", repo.display());
    run(command("ostree").args([&repo_arg, "init", "--mode=bare"]));
    run(command("ostree")
        .args([&repo_arg, "commit", "-b", "main"])
        .arg(format!("--tree=dir={}", tree.display())));
    let options = CheckoutOptions {
        passthrough_whiteouts: true,
        ..CheckoutOptions::default()
    };
    check_out(&open(&repo), "main", scratch.path(), "ours", &options).unwrap();
    theirs(
        &repo,
        "main",
        &scratch.path().join("theirs"),
        &["--process-passthrough-whiteouts"],
    );
    assert_alike(&scratch.path().join("ours"), &scratch.path().join("theirs"));
    let gone = manifest(&scratch.path().join("ours"))
        .0
        .remove("/d/gone")
        .unwrap();
    assert_eq!(gone.kind, 'c');
}

#[test]
fn missing_directories_and_interrupts_are_told() {
    let repos = testkit::golden_copy("repos");
    let repo = open(&repos.path().join("bare"));
    let options = CheckoutOptions {
        subpath: Some("usr/absent"),
        ..CheckoutOptions::default()
    };
    let error = check_out(&repo, "golden/v", repos.path(), "x", &options).unwrap_err();
    assert!(
        matches!(error, CheckoutError::NoSuchDirectory { .. }),
        "{error}"
    );
    let interrupt = Interrupt::default();
    interrupt.raise();
    let commit = repo.resolve("golden/v").unwrap();
    let into = File::open(repos.path()).unwrap();
    let options = CheckoutOptions::default();
    let error = repo
        .checkout(
            &commit,
            into.as_fd(),
            Path::new("x"),
            &options,
            &Silent,
            &interrupt,
        )
        .unwrap_err();
    assert!(matches!(error, CheckoutError::Interrupted(_)), "{error}");
}
