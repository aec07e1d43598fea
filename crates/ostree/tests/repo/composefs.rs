//! Images of recorded commits, which must be those that libostree 2026.4 made, and of made-up trees, which
//! must be those of `mkcomposefs`'s format as `fsverity` measures it.

use std::fs;
use std::io::Read as _;

use flate2::read::GzDecoder;
use ostree::{ComposefsError, Expect, Repo, TransactionOptions, VerityDigests};
use ostree_format::gvariant::Value;
use ostree_format::{Checksum, Commit, FileHeader, ObjectKind, ObjectName, RepoMode, Xattrs};
use progress::{Interrupt, Silent};
use testkit::{golden, golden_copy};

use crate::oracle::open;

fn recorded(name: &str) -> Vec<u8> {
    let file = fs::File::open(golden("composefs").join(name)).unwrap();
    let mut image = Vec::new();
    GzDecoder::new(file).read_to_end(&mut image).unwrap();
    image
}

fn image(
    repo: &Repo,
    commit: &Checksum,
    digests: VerityDigests,
) -> Result<Vec<u8>, ComposefsError> {
    repo.composefs_image(commit, digests, &Silent, &Interrupt::default())
}

/// Objects of these modes have the same names, so that the image is the same.
#[test]
fn images_are_those_that_libostree_made_from_every_mode() {
    for mode in ["bare", "bare-user", "archive"] {
        let repo = open(&golden("repos").join(mode));
        let v1 = repo.resolve("golden/v^").unwrap();
        for (digests, file) in [
            (VerityDigests::All, "v1.cfs.gz"),
            (VerityDigests::None, "v1-noverity.cfs.gz"),
        ] {
            let ours = image(&repo, &v1, digests).unwrap();
            assert!(ours == recorded(file), "{mode}: {file} differs");
        }
    }
}

/// The file system of tests has no fs-verity, so nothing is verified yet.
#[test]
fn without_verity_only_known_digests_are_demanded() {
    let repo = open(&golden("repos").join("bare"));
    let v1 = repo.resolve("golden/v^").unwrap();
    let ours = image(&repo, &v1, VerityDigests::IfEnabled).unwrap();
    assert!(ours == recorded("v1-noverity.cfs.gz"));
}

#[test]
fn the_recorded_digest_in_a_commit_is_that_of_its_image() {
    let repo = open(&golden("repos").join("archive"));
    let commit = repo.resolve("golden/cfsmeta").unwrap();
    // It is compared when the image is made.
    assert!(image(&repo, &commit, VerityDigests::All).unwrap() == recorded("v1.cfs.gz"));
    let dir = testkit::scratch_dir();
    let place = fs::File::open(dir.path()).unwrap();
    let place = (std::os::fd::AsFd::as_fd(&place), "image".as_ref());
    repo.checkout_composefs(
        &commit,
        place,
        VerityDigests::All,
        &Silent,
        &Interrupt::default(),
    )
    .unwrap();
    assert!(fs::read(dir.path().join("image")).unwrap() == recorded("v1.cfs.gz"));
}

fn commit_with(repo: &Repo, digest: Vec<u8>) -> Checksum {
    let like = repo
        .load_commit(&repo.resolve("golden/v^").unwrap())
        .unwrap();
    let transaction = repo.begin(TransactionOptions::default()).unwrap();
    let mut commit = Commit {
        parent: None,
        ..like
    };
    commit
        .metadata
        .insert(ostree::COMPOSEFS_DIGEST_KEY, Value::Bytes(digest));
    let name = transaction.write_commit(&commit).unwrap();
    transaction.set_ref("wrong".parse().unwrap(), Expect::Any, Some(name));
    transaction.commit(&Silent, &Interrupt::default()).unwrap();
    name
}

#[test]
fn an_image_that_is_not_the_announced_one_is_refused() {
    let copy = golden_copy("repos");
    let repo = open(&copy.path().join("bare-user"));
    for digest in [vec![0x13; 32], vec![1, 2, 3], Vec::new()] {
        let commit = commit_with(&repo, digest);
        let error = image(&repo, &commit, VerityDigests::All).unwrap_err();
        assert!(matches!(error, ComposefsError::Mismatch { .. }), "{error}");
        // Nobody relies on it without digests.
        image(&repo, &commit, VerityDigests::None).unwrap();
    }
}

#[test]
fn a_file_that_is_missing_or_shorter_than_it_says_has_no_image() {
    let copy = golden_copy("repos");
    let path = copy.path().join("archive");
    let repo = open(&path);
    let v1 = repo.resolve("golden/v^").unwrap();
    let file = repo
        .file_in_tree(&v1, "usr/lib/modules/6.1.0-golden/vmlinuz")
        .unwrap();
    let file = file.expect("the golden tree has a kernel");
    let object = ObjectName::new(file, ObjectKind::File).loose_path(RepoMode::Archive);
    let object = path.join("objects").join(object);
    let header = FileHeader::regular(0, 0, 0o644, Xattrs::new());
    fs::write(&object, header.archive_prefix(1 << 20)).unwrap();
    let error = image(&repo, &v1, VerityDigests::All).unwrap_err();
    assert!(matches!(error, ComposefsError::Read(_)), "{error}");
    fs::remove_file(&object).unwrap();
    let error = image(&repo, &v1, VerityDigests::None).unwrap_err();
    assert!(error.to_string().contains(&file.to_string()), "{error}");
}

/// What is staged and not yet published has the same digest as afterwards.
#[test]
fn a_transaction_knows_the_digest_of_what_it_writes() {
    let copy = golden_copy("repos");
    let recorded = fs::read(golden("composefs").join("v1.metadata-digest.hex")).unwrap();
    let recorded = String::from_utf8(recorded).unwrap();
    let source = open(&golden("repos").join("bare"));
    let v1 = source
        .load_commit(&source.resolve("golden/v^").unwrap())
        .unwrap();
    let tree = source.load_tree(&v1.contents, &v1.meta).unwrap();
    for mode in [RepoMode::Bare, RepoMode::Archive] {
        let target = crate::oracle::init(&copy.path().join(format!("new-{mode}")), mode);
        let transaction = target.begin(TransactionOptions::default()).unwrap();
        let importer = transaction.write_dirmeta(&source.load_dirmeta(&v1.meta).unwrap());
        importer.unwrap();
        copy_tree(&source, &tree, &transaction);
        let digest = transaction
            .composefs_digest(&tree, &Silent, &Interrupt::default())
            .unwrap();
        assert_eq!(digest.to_string(), recorded.trim(), "{mode}");
    }
}

fn copy_tree(from: &Repo, tree: &ostree::Tree, to: &ostree::Transaction<'_>) {
    to.write_dirmeta(&from.load_dirmeta(&tree.meta).unwrap())
        .unwrap();
    for node in tree.children.values() {
        match node {
            tree::Node::Dir(below) => copy_tree(from, below, to),
            tree::Node::Leaf(checksum) => {
                let mut file = from.open_file(checksum).unwrap();
                let mut content = Vec::new();
                file.content.read_to_end(&mut content).unwrap();
                to.write_file(&file.header, &content).unwrap();
            }
        }
    }
}
