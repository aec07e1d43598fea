//! The recorded repositories of every mode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;

use ostree::{Repo, Tree};
use ostree_format::{Commit, DirMeta, DirTree, ObjectKind, ObjectName, mode};
use sha2::{Digest as _, Sha256};
use testkit::{TreeManifest, golden};
use tree::Node;

use crate::oracle::{MODES, fsck, open};

fn recorded(mode: &str) -> Repo {
    open(&golden("repos").join(mode))
}

fn expect(name: &str) -> String {
    fs::read_to_string(golden("expect").join(name)).unwrap()
}

#[test]
fn every_mode_is_clean_and_has_the_recorded_objects() {
    for mode in MODES {
        let name = directory(mode);
        let report = fsck(&recorded(name));
        assert!(report.damage.is_empty(), "{name}: {:?}", report.damage);
        assert_eq!(report.partial_commits, 0);
        let repo = recorded(name);
        let all = (0..=u8::MAX).flat_map(|head| repo.objects_in(head).unwrap());
        let mut ours: BTreeSet<String> = all
            .map(|object| format!("objects/{}", object.loose_path(mode)))
            .collect();
        if name == "archive" {
            // This commit was added after the list was made.
            let later = repo.resolve("golden/cfsmeta").unwrap();
            let later = ObjectName::new(later, ObjectKind::Commit);
            assert!(ours.remove(&format!("objects/{}", later.loose_path(mode))));
        }
        let listed = expect(&format!("{name}.objects"));
        let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
        assert_eq!(ours, listed, "{name}");
    }
}

fn directory(mode: ostree_format::RepoMode) -> &'static str {
    match mode {
        ostree_format::RepoMode::Archive => "archive",
        other => other.name(),
    }
}

#[test]
fn a_partial_commit_is_counted_and_no_damage() {
    let report = fsck(&recorded("partial"));
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert_eq!(report.partial_commits, 1);
    assert_eq!(report.commits, 0);
}

#[test]
fn every_metadata_object_encodes_back_to_its_bytes() {
    for mode in MODES {
        let repo = recorded(directory(mode));
        for name in (0..=u8::MAX).flat_map(|head| repo.objects_in(head).unwrap()) {
            let bytes = || repo.load_bytes(&name).unwrap().unwrap();
            let again = match name.kind {
                ObjectKind::Commit => Commit::from_bytes(&bytes()).unwrap().to_bytes(),
                ObjectKind::DirTree => DirTree::from_bytes(&bytes()).unwrap().to_bytes(),
                ObjectKind::DirMeta => DirMeta::from_bytes(&bytes()).unwrap().to_bytes(),
                _ => continue,
            };
            assert_eq!(again, bytes(), "{name}");
        }
    }
}

#[test]
fn refs_and_parents_resolve_to_the_recorded_revisions() {
    for mode in MODES {
        let name = directory(mode);
        let repo = recorded(name);
        let revs = [
            ("golden/v", "v2"),
            ("golden/v^", "v1"),
            ("golden/empty", "empty"),
            ("golden/multi", "multi"),
        ];
        for (rev, file) in revs {
            let expected = expect(&format!("{name}.{file}.rev"));
            let expected = expected.trim();
            assert_eq!(repo.resolve(rev).unwrap().to_string(), expected, "{rev}");
            assert_eq!(repo.resolve(&expected[..12]).unwrap().to_string(), expected);
        }
        assert!(repo.try_resolve("golden/none").unwrap().is_none());
        let refs = repo.list_refs().unwrap();
        assert!(refs.len() >= 3, "{refs:?}");
    }
}

/// A line of `ostree ls -R -C -X`, without the attributes: kind and mode, owner, size, checksums.
fn listed(line: &str) -> Option<(String, String)> {
    let (facts, rest) = line.split_once(" { ")?;
    let path = rest.split_once(" } ")?.1;
    let words: Vec<&str> = facts.split_whitespace().collect();
    let path = path.split_once(" -> ").map_or(path, |(path, _)| path);
    Some((path.to_owned(), words.join(" ")))
}

#[test]
fn trees_equal_the_recorded_listings() {
    for mode in MODES {
        let name = directory(mode);
        let repo = recorded(name);
        for (rev, file) in [("golden/v^", "v1"), ("golden/v", "v2")] {
            let text = expect(&format!("{name}.{file}.ls"));
            let expected: BTreeMap<String, String> = text.lines().filter_map(listed).collect();
            assert!(expected.len() > 400, "{}", expected.len());
            let commit = repo.load_commit(&repo.resolve(rev).unwrap()).unwrap();
            let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
            let mut ours = BTreeMap::new();
            describe(&repo, &tree, "", &commit.contents.to_string(), &mut ours);
            for (path, facts) in &expected {
                assert_eq!(ours.get(path), Some(facts), "{name} {path}");
            }
            assert_eq!(ours.len(), expected.len(), "{name}");
        }
    }
}

fn describe(
    repo: &Repo,
    dir: &Tree,
    path: &str,
    contents: &str,
    found: &mut BTreeMap<String, String>,
) {
    let meta = repo.load_dirmeta(&dir.meta).unwrap();
    let shown = if path.is_empty() { "/" } else { path };
    let facts = format!(
        "d{:05o} {} {} 0 {contents} {}",
        meta.mode & 0o7777,
        meta.uid,
        meta.gid,
        dir.meta
    );
    found.insert(first_line(shown), facts);
    let stored = repo.load_dirtree(&contents.parse().unwrap()).unwrap();
    for (name, node) in &dir.children {
        let path = format!("{path}/{name}");
        match node {
            Node::Dir(subdir) => {
                let name = name.to_str().unwrap();
                let entry = stored.dirs.iter().find(|entry| entry.name == name).unwrap();
                describe(repo, subdir, &path, &entry.contents.to_string(), found);
            }
            Node::Leaf(checksum) => {
                let object = repo.open_file(checksum).unwrap();
                let h = object.header;
                let kind = if h.is_symlink() { 'l' } else { '-' };
                let facts = format!(
                    "{kind}{:05o} {} {} {} {checksum}",
                    h.mode & 0o7777,
                    h.uid,
                    h.gid,
                    object.size
                );
                found.insert(first_line(&path), facts);
            }
        }
    }
}

/// A line break in a name tears its line of the listing apart.
fn first_line(path: &str) -> String {
    path.lines().next().unwrap_or_default().to_owned()
}

/// Content, owner, mode and attributes of every path equal those of a recorded checkout.
#[test]
fn files_equal_the_recorded_checkouts() {
    for (repo, manifest) in [("bare", "checkout-bare"), ("archive", "checkout-archive")] {
        let expected = TreeManifest::golden(&golden("expect").join(format!("{manifest}.manifest")));
        let repo = recorded(repo);
        let commit = repo.resolve("golden/v^").unwrap();
        let commit = repo.load_commit(&commit).unwrap();
        let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
        let mut seen = 0;
        compare_files(&repo, &tree, "", &expected, &mut seen);
        let leaves = expected.0.values().filter(|entry| entry.kind != 'd');
        assert_eq!(seen, leaves.count());
    }
}

fn compare_files(repo: &Repo, dir: &Tree, path: &str, expected: &TreeManifest, seen: &mut usize) {
    for (name, node) in &dir.children {
        let name = name.to_str().unwrap();
        let path = format!("{path}/{}", name.replace('\n', "\\n").replace('\t', "\\t"));
        let entry = expected.0.get(&path).unwrap_or_else(|| panic!("{path}"));
        match node {
            Node::Dir(subdir) => compare_files(repo, subdir, &path, expected, seen),
            Node::Leaf(checksum) => {
                *seen += 1;
                let mut object = repo.open_file(checksum).unwrap();
                let mut content = Vec::new();
                object.content.read_to_end(&mut content).unwrap();
                let h = object.header;
                assert_eq!((h.uid, h.gid), (entry.uid, entry.gid), "{path}");
                if h.is_symlink() {
                    let target = h.symlink.unwrap().replace('\n', "\\n");
                    assert_eq!(target, entry.content, "{path}");
                } else {
                    assert!(mode::is_regular(h.mode));
                    assert_eq!(h.mode & 0o7777, entry.mode, "{path}");
                    assert_eq!(
                        hex::encode(Sha256::digest(&content)),
                        entry.content,
                        "{path}"
                    );
                    assert_eq!(object.size, content.len() as u64, "{path}");
                }
                let xattrs: BTreeMap<String, String> = h
                    .xattrs
                    .iter()
                    .map(|(n, v)| (String::from_utf8_lossy(n).into_owned(), hex::encode(v)))
                    .collect();
                assert_eq!(xattrs, entry.xattrs, "{path}");
            }
        }
    }
}

#[test]
fn what_is_no_repository_says_what_is_missing() {
    let error = Repo::open_at(
        std::os::fd::AsFd::as_fd(&fs::File::open("/").unwrap()),
        Path::new("proc/self/fd"),
    )
    .unwrap_err();
    assert!(error.to_string().contains("it has no config"), "{error}");
}
