//! Several stores, one copy of every byte.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{answer, bootroot, refusal};

/// A system with a commit `main` of a few hundred files.
fn system(scratch: &Path) -> PathBuf {
    let (root, tree) = (scratch.join("root"), scratch.join("tree"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    for number in 0..300_usize {
        let content: Vec<u8> = (0..number * 400)
            .map(|at| (at * number + at / 256) as u8)
            .collect();
        fs::write(tree.join(format!("usr/bin/{number}")), content).unwrap();
    }
    fs::write(
        tree.join("usr/bin/again"),
        fs::read(tree.join("usr/bin/299")).unwrap(),
    )
    .unwrap();
    std::os::unix::fs::symlink("7", tree.join("usr/bin/link")).unwrap();
    answer(&mut bootroot(&format!(
        "ostree admin init-fs --modern {}",
        root.display()
    )));
    let repo = root.join("ostree/repo");
    answer(&mut bootroot(&format!(
        "ostree commit --repo {} -b main {}",
        repo.display(),
        tree.display()
    )));
    root
}

fn ours(root: &Path, line: &str) -> Command {
    bootroot(&format!("--sysroot {} {line}", root.display()))
}

/// Kibibytes on disk, as the real program counts them.
fn on_disk(root: &Path) -> u64 {
    let du = testkit::stdout(testkit::command("du").args(["-sk"]).arg(root));
    du.split_whitespace().next().unwrap().parse().unwrap()
}

/// Objects of the composefs repository.
fn objects(root: &Path) -> Vec<PathBuf> {
    let heads = fs::read_dir(root.join("composefs/objects")).unwrap();
    let dirs = heads.map(|head| fs::read_dir(head.unwrap().path()).unwrap());
    dirs.flatten()
        .map(|object| object.unwrap().path())
        .collect()
}

#[test]
fn both_stores_together_take_little_more_than_one() {
    let scratch = testkit::scratch_dir();
    let root = system(scratch.path());
    let alone = on_disk(&root);
    let said = answer(&mut ours(&root, "storage compose main --name system"));
    assert!(said.contains("files shared: 299, copied: 0"), "{said}");
    // The directories of objects are all that a small store takes besides.
    let directories = 4 * (256 + 8);
    let both = on_disk(&root);
    assert!(
        both * 100 <= alone * 103 + directories * 100,
        "{alone} {both}"
    );

    let image = said.lines().next().unwrap();
    for name in [format!("images/{image}"), "images/refs/system".to_owned()] {
        let stored = fs::read(root.join("composefs").join(name)).unwrap();
        assert_eq!(stored[..4], [0x9a, 0x62, 0x78, 0xd0]);
    }
    // The same again changes nothing.
    let again = answer(&mut ours(&root, "storage compose main"));
    assert!(again.starts_with(image), "{again}");
    let du = answer(&mut ours(&root, "storage du"));
    assert!(
        du.contains("composefs: ") && du.contains("ostree: "),
        "{du}"
    );
}

/// The names of objects are what the real program measures.
#[test]
fn objects_are_named_by_their_digest_and_are_the_files_of_the_repository() {
    let scratch = testkit::scratch_dir();
    let root = system(scratch.path());
    answer(&mut ours(&root, "storage compose main"));
    let mut images = 0;
    for object in objects(&root) {
        let mut fsverity = testkit::command("fsverity");
        fsverity.args(["digest", "--compact", "--hash-alg", "sha512"]);
        let digest = testkit::stdout(fsverity.arg(&object));
        let (head, name) = digest.trim().split_at(2);
        assert!(
            object.ends_with(format!("{head}/{name}")),
            "{}",
            object.display()
        );
        images += u32::from(fs::metadata(&object).unwrap().nlink() == 1);
    }
    assert_eq!(images, 1, "everything but the image has two names");
}

#[test]
fn what_has_no_system_or_no_commit_is_refused() {
    let scratch = testkit::scratch_dir();
    let root = system(scratch.path());
    refusal(&mut ours(&root, "storage compose nothing"), 3);
    assert!(!root.join("composefs").exists());
    let repo = root.join("ostree/repo");
    let error = refusal(
        &mut bootroot(&format!("--repo {} storage du", repo.display())),
        5,
    );
    assert!(error.contains("needs a system"), "{error}");
    fs::create_dir(root.join("composefs")).unwrap();
    fs::write(root.join("composefs/meta.json"), "{").unwrap();
    let error = refusal(&mut ours(&root, "storage compose main"), 4);
    assert!(error.contains("meta.json"), "{error}");
}
