//! The corpus of nasty archives (`crates/layer/tests/corpus`), pulled as images from end to end.
//!
//! The tests of `layer` say which layers agree with the real tools; here whole images do, merge
//! included, and the real `ostree` finds nothing wrong with what was stored.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use error_class::{Classified as _, ErrorClass};
use image::{ImportError, ImportOptions, Prepared};
use oci::context::Context;
use oci::reference::OstreeImageReference;
use ostree::{Repo, Tree};
use ostree_format::{Checksum, RepoMode};
use progress::{Interrupt, Silent};
use testkit::oci::{Image, Layer, LayoutBuilder};
use tree::Node;

fn corpus() -> PathBuf {
    testkit::workspace_root().join("crates/layer/tests/corpus")
}

fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(corpus().join(name)).unwrap();
    text.lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

fn image_of(case: &str, layers: usize) -> Image {
    (0..layers).fold(Image::bootable(), |image, index| {
        let archive = corpus().join(format!("archives/{case}.{index}.tar.gz"));
        let unpacked = testkit::command("gzip")
            .arg("-dc")
            .arg(archive)
            .output()
            .unwrap();
        image.layer(Layer::new(unpacked.stdout).created_by(&format!("layer {index}")))
    })
}

fn pull(repo: &Repo, reference: &str) -> Result<Checksum, ImportError> {
    let reference = OstreeImageReference::from_user(reference).unwrap();
    let root: OwnedFd = File::open("/").unwrap().into();
    let source = oci::source::open_verified(&reference, &Context::new(root)).unwrap();
    let options = ImportOptions::default();
    let Prepared::Ready(plan) = image::prepare(repo, &*source, &options, &Silent).unwrap() else {
        panic!("every case is pulled once");
    };
    let imported = plan.import(repo, &*source, &options, &Silent, &Interrupt::default())?;
    Ok(imported.state.merge_commit)
}

fn escaped(path: &[u8]) -> String {
    let plain = |byte: &u8| (0x21..0x7f).contains(byte) && *byte != b'%';
    path.iter()
        .map(|byte| {
            if plain(byte) {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect()
}

fn leaves(dir: &Tree, path: &[u8], out: &mut BTreeSet<String>) {
    let shown = if path.is_empty() { b"/" } else { path };
    out.insert(format!("{} {}", dir.meta, escaped(shown)));
    for (name, node) in &dir.children {
        let path = [path, b"/", name.as_bytes()].concat();
        match node {
            Node::Dir(dir) => leaves(dir, &path, out),
            Node::Leaf(checksum) => drop(out.insert(format!("{checksum} {}", escaped(&path)))),
        }
    }
}

/// Metadata of directories and objects of files, by path; and the root's dirtree, which covers all.
fn stored(repo: &Repo, commit: &Checksum) -> (String, BTreeSet<String>) {
    let commit = repo.load_commit(commit).unwrap();
    let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
    let mut out = BTreeSet::new();
    leaves(&tree, b"", &mut out);
    (commit.contents.to_string(), out)
}

/// The same out of `expected/CASE.txt`.
fn expected(case: &str) -> (String, BTreeSet<String>) {
    let text = fs::read_to_string(corpus().join(format!("expected/{case}.txt"))).unwrap();
    let (mut root, mut out) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        let fields: Vec<_> = line.split(['\t', ' ']).collect();
        match fields[0] {
            "d" => {
                if fields[3] == "/" {
                    fields[1].clone_into(&mut root);
                }
                out.insert(format!("{} {}", fields[2], fields[3]));
            }
            "f" => drop(out.insert(format!("{} {}", fields[1], fields[2]))),
            _ => {}
        }
    }
    (root, out)
}

/// What is wrong with the outcome, if anything.
fn disagreement(
    repo: &Repo,
    case: &str,
    oracle: &str,
    outcome: &Result<Checksum, ImportError>,
) -> Option<String> {
    match (outcome, oracle.strip_prefix("refused:")) {
        (Err(error), Some("Corrupt")) if error.class() == ErrorClass::Corrupt => None,
        (Err(error), Some("InvalidInput")) if error.class() == ErrorClass::InvalidInput => None,
        (Err(error), _) => Some(format!("{:?}: {error}", error.class())),
        (Ok(_), Some(_)) => Some("accepted, but must be refused".to_owned()),
        (Ok(commit), None) => {
            let (ours, theirs) = (stored(repo, commit), expected(case));
            let missing: Vec<_> = theirs.1.difference(&ours.1).collect();
            let extra: Vec<_> = ours.1.difference(&theirs.1).collect();
            (ours != theirs).then(|| format!("missing {missing:?}, unexpected {extra:?}"))
        }
    }
}

#[test]
fn whole_images_agree_with_the_real_tools() {
    let scratch = tempfile::tempdir().unwrap();
    let base: OwnedFd = File::open(scratch.path()).unwrap().into();
    let repo = Repo::init_at(base.as_fd(), Path::new("repo"), RepoMode::Bare).unwrap();
    let mut layout = LayoutBuilder::new(scratch.path().join("images"));
    let mut wrong = Vec::new();
    for row in &table("cases.tsv") {
        let (case, layers, oracle) = (&row[0], row[1].parse().unwrap(), &row[2]);
        layout.tag(case, &image_of(case, layers));
        let outcome = pull(&repo, &layout.reference(case));
        wrong.extend(
            disagreement(&repo, case, oracle, &outcome)
                .map(|text| format!("{case} [{oracle}]: {text}")),
        );
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let repo_path = format!("--repo={}", scratch.path().join("repo").display());
    testkit::stdout(testkit::command("ostree").args([repo_path.as_str(), "fsck", "--quiet"]));
}
