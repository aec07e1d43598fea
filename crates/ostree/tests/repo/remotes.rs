//! Remotes and summaries, read and written by both.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use error_class::{Classified as _, ErrorClass};
use ostree::{IfPresent, Remote, Summary};
use ostree_format::{Metadata, RepoMode};

use crate::oracle::{init, open, ostree, theirs};

fn config(path: &Path) -> String {
    let text = fs::read_to_string(path.join("config")).unwrap();
    text.trim_end().to_owned()
}

#[test]
fn remotes_are_written_as_ostree_writes_them() {
    let scratch = tempfile::tempdir().unwrap();
    let (mine, their) = (scratch.path().join("ours"), scratch.path().join("theirs"));
    let mut repo = init(&mine, RepoMode::Archive);
    init(&their, RepoMode::Archive);
    let mut origin = Remote::new("origin", "https://example.org/repo").unwrap();
    origin.set("contenturl", "https://cdn.example.org/a b");
    origin.set("gpg-verify", "false");
    assert!(repo.add_remote(&origin, IfPresent::Fail).unwrap());
    let metalink = Remote::new("meta", "metalink=https://example.org/m").unwrap();
    repo.add_remote(&metalink, IfPresent::Fail).unwrap();
    let url = "https://example.org/repo";
    let content = "--contenturl=https://cdn.example.org/a b";
    theirs(
        &their,
        &["remote", "add", "--no-gpg-verify", content, "origin", url],
    );
    theirs(
        &their,
        &["remote", "add", "meta", "metalink=https://example.org/m"],
    );
    assert_eq!(config(&mine), config(&their));
    assert_eq!(open(&their).remotes(), repo.remotes());
    let list = ["remote", "list"];
    assert_eq!(theirs(&mine, &list), theirs(&their, &list));

    let other = Remote::new("origin", "https://other.example.org").unwrap();
    let error = repo.add_remote(&other, IfPresent::Fail).unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidInput, "{error}");
    testkit::fails(ostree(&their).args(["remote", "add", "origin", "https://other.example.org"]));
    assert!(!repo.add_remote(&other, IfPresent::Keep).unwrap());
    assert_eq!(config(&mine), config(&their));
    repo.add_remote(&other, IfPresent::Replace).unwrap();
    assert_eq!(
        theirs(&mine, &["remote", "show-url", "origin"]),
        "https://other.example.org"
    );

    fs::write(mine.join("origin.trustedkeys.gpg"), "").unwrap();
    repo.delete_remote("origin").unwrap();
    assert!(!mine.join("origin.trustedkeys.gpg").exists());
    theirs(&their, &["remote", "delete", "origin"]);
    assert_eq!(theirs(&mine, &list), theirs(&their, &list));
    assert_eq!(
        repo.delete_remote("origin").unwrap_err().class(),
        ErrorClass::NotFound
    );
    for bad in ["a/b", "", "a b", ".x"] {
        assert!(Remote::new(bad, "x").is_err(), "{bad}");
        testkit::fails(ostree(&their).args(["remote", "add", bad, "x"]));
    }
}

/// What a summary says apart from its time; dictionaries have no order there.
fn facts(path: &Path) -> (Vec<String>, BTreeMap<String, String>) {
    let summary = open(path).load_summary().unwrap().unwrap();
    let shown = |metadata: &Metadata| -> BTreeMap<String, String> {
        let metadata = metadata
            .iter()
            .filter(|(key, _)| !key.ends_with("last-modified"));
        metadata
            .map(|(key, value)| match Metadata::from_value(value) {
                Some(inner) => (key.to_owned(), format!("{:?}", sorted(&inner))),
                None => (key.to_owned(), format!("{value:?}")),
            })
            .collect()
    };
    let line = |r: &ostree::SummaryRef| {
        format!(
            "{} {} {} {:?}",
            r.name,
            r.size,
            r.commit,
            shown(&r.metadata)
        )
    };
    let mut refs: Vec<String> = summary.refs.iter().map(line).collect();
    for (collection, more) in &summary.collections {
        refs.extend(more.iter().map(|r| format!("{collection}: {}", line(r))));
    }
    (refs, shown(&summary.metadata))
}

fn sorted(metadata: &Metadata) -> BTreeMap<String, String> {
    let pairs = metadata.iter();
    pairs
        .map(|(key, value)| (key.to_owned(), format!("{value:?}")))
        .collect()
}

#[test]
fn summaries_say_what_those_of_ostree_say() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::Archive);
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let source = format!("--tree=dir={}", tree.display());
    for (n, version) in ["1.0", "1.1"].iter().enumerate() {
        let version = format!("--add-metadata-string=version={version}");
        let time = format!("--timestamp=@{}", 1000 + n);
        fs::write(tree.join("f"), n.to_string()).unwrap();
        theirs(
            &path,
            &[
                "commit", "-b", "os/main", "-s", "x", &source, &version, &time,
            ],
        );
    }
    theirs(&path, &["commit", "-b", "os/z", "-s", "x", &source]);
    theirs(&path, &["refs", "--create=origin:r", "os/z"]);
    theirs(
        &path,
        &[
            "static-delta",
            "generate",
            "--from=os/main^",
            "--to=os/main",
        ],
    );
    theirs(
        &path,
        &["static-delta", "generate", "--empty", "--to=os/main"],
    );
    let commit = theirs(&path, &["rev-parse", "os/z"]);
    fs::create_dir_all(path.join("refs/mirrors/org.example.C")).unwrap();
    fs::write(path.join("refs/mirrors/org.example.C/m"), commit + "\n").unwrap();

    assert!(repo.load_summary().unwrap().is_none());
    theirs(&path, &["summary", "--update", "--add-metadata=k='v'"]);
    let expected = facts(&path);
    assert_eq!(expected.0.len(), 3);
    fs::write(path.join("summary.sig"), "old").unwrap();
    let additional = [("k", "v".into())].into_iter().collect();
    open(&path)
        .update_summary(1_700_000_000, &additional)
        .unwrap();
    assert_eq!(facts(&path), expected);
    assert!(!path.join("summary.sig").exists());
    let shown = theirs(&path, &["summary", "--view"]);
    assert!(shown.contains("2023-11-14T22:13:20"), "{shown}");
    assert!(
        shown.contains("os/main") && shown.contains("1.1"),
        "{shown}"
    );
    let summary = repo.load_summary().unwrap().unwrap();
    assert_eq!(summary.last_modified(), Some(1_700_000_000));
    assert_eq!(Summary::from_bytes(&summary.to_bytes()).unwrap(), summary);
    assert!(Summary::from_bytes(b"nonsense").is_err());
}

#[test]
fn recorded_summaries_are_read() {
    for name in ["delta/summary", "sign/summary.ed25519"] {
        let (group, file) = name.split_once('/').unwrap();
        let bytes = fs::read(testkit::golden(group).join(file)).unwrap();
        let summary = Summary::from_bytes(&bytes).unwrap();
        assert!(summary.refs.iter().any(|r| r.name == "golden/v"), "{name}");
    }
}
