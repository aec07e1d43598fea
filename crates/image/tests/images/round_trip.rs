//! Random commits through images, with random options: what comes out is what went in.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};

use image::{Chunking, Compression, EncapsulateOptions, ImportOptions};
use layer::Packing;
use oci::layout::OciDirWriter;
use ostree::{Transaction, TransactionOptions, Tree};
use ostree_format::{Checksum, Commit, DirMeta, FileHeader, Metadata, RepoMode, Xattrs};
use progress::{Interrupt, Silent};
use proptest::prelude::*;
use tree::{Dir, Name, Node};

use crate::support::{Scene, open, unencapsulate};

/// A file or link at a path.
#[derive(Debug, Clone)]
struct Leaf {
    path: Vec<String>,
    target: Option<String>,
    content: Vec<u8>,
    owner: (u32, u32),
    mode: u32,
    xattrs: Vec<(String, Vec<u8>)>,
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("usr".to_owned()),
        Just("etc".to_owned()),
        Just("sysroot".to_owned()),
        Just("var".to_owned()),
        Just("tmp".to_owned()),
        "[a-z]{1,3}",
        "[ -.0-~é\n]{1,12}".prop_filter("no name", |name| name != "." && name != ".."),
        "[a-z]{120}",
    ]
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let xattr = (
        "user\\.[a-z]{1,5}",
        prop::collection::vec(any::<u8>(), 1..40),
    );
    (
        prop::collection::vec(part(), 1..5),
        prop::option::weighted(0.2, "[!-~]{1,150}"),
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::vec(any::<u8>(), 0..9000),
        ],
        (prop_oneof![Just(0), any::<u32>()], 0u32..3_000_000),
        0u32..0o10000,
        prop::collection::vec(xattr, 0..3),
    )
        .prop_map(|(path, target, content, owner, mode, xattrs)| Leaf {
            path,
            target,
            content,
            owner,
            mode,
            xattrs,
        })
}

/// Put the leaf where it belongs, unless something else is in its way.
fn insert(txn: &Transaction<'_>, root: &mut Tree, leaf: &Leaf, dirmeta: Checksum) {
    let (name, parents) = leaf.path.split_last().unwrap();
    let mut dir = root;
    for parent in parents {
        let name = Name::new(parent.as_bytes()).unwrap();
        let node = dir.children.entry(name);
        match node.or_insert_with(|| Node::Dir(Dir::new(dirmeta))) {
            Node::Dir(below) => dir = below,
            Node::Leaf(_) => return,
        }
    }
    let mut xattrs = Xattrs::new();
    for (name, value) in &leaf.xattrs {
        xattrs.insert(name.as_bytes(), value);
    }
    let (uid, gid) = leaf.owner;
    // No file system lets links have attributes of users.
    let (header, content) = match &leaf.target {
        Some(target) => (
            FileHeader::symlink(uid, gid, target.clone(), Xattrs::new()),
            &[][..],
        ),
        None => (
            FileHeader::regular(uid, gid, leaf.mode, xattrs),
            leaf.content.as_slice(),
        ),
    };
    let object = txn.write_file(&header, content).unwrap();
    let name = Name::new(name.as_bytes()).unwrap();
    dir.children.entry(name).or_insert(Node::Leaf(object));
}

fn commit(scene: &Scene, leaves: &[Leaf]) -> Checksum {
    let txn = scene.repo.begin(TransactionOptions::default()).unwrap();
    let meta = txn.write_dirmeta(&DirMeta::root_owned(0o755)).unwrap();
    let mut other = DirMeta::root_owned(0o1777);
    other.xattrs.insert(b"user.dir", b"x");
    let other = txn.write_dirmeta(&other).unwrap();
    let mut root = Dir::new(meta);
    for (at, leaf) in leaves.iter().enumerate() {
        let dirmeta = if at % 2 == 0 { meta } else { other };
        insert(&txn, &mut root, leaf, dirmeta);
    }
    let contents = txn.write_tree(&root).unwrap();
    let checksum = txn
        .write_commit(&Commit {
            metadata: Metadata::new(),
            parent: None,
            related: Vec::new(),
            subject: "random".to_owned(),
            body: String::new(),
            timestamp: 1_700_000_000,
            contents,
            meta,
        })
        .unwrap();
    txn.commit(&Silent, &Interrupt::default()).unwrap();
    checksum
}

/// A map that gives objects to components as they come.
fn some_map(repo: &ostree::Repo, commit: &Checksum, components: usize) -> Chunking {
    let commit = repo.load_commit(commit).unwrap();
    let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
    let mut objects = Vec::new();
    gather(&tree, &mut objects);
    let mut map = image::ContentMap::default();
    map.components = (0..components)
        .map(|n| (format!("id{n}"), format!("name {n}")))
        .collect();
    // Not all of them: the others stay with the commit.
    let given = objects
        .into_iter()
        .enumerate()
        .filter(|(at, _)| at % 5 != 4);
    map.objects = given
        .map(|(at, object)| (object, at % components))
        .collect();
    Chunking::Map(map)
}

fn gather(tree: &Tree, objects: &mut Vec<Checksum>) {
    for node in tree.children.values() {
        match node {
            Node::Dir(dir) => gather(dir, objects),
            Node::Leaf(object) => objects.push(*object),
        }
    }
}

/// What does not decide about the content.
fn decorations(many: bool) -> EncapsulateOptions {
    let mut options = EncapsulateOptions::default();
    if many {
        options.labels.insert("a".to_owned(), "b".to_owned());
        options.cmd = Some(vec!["/sbin/init".to_owned()]);
        options.created = Some("2024-01-02T03:04:05+01:00".to_owned());
        options.legacy_version_label = true;
        options.copy_meta_optional = vec!["none".to_owned()];
        options.frequencies = image::Frequencies::from_json(
            br#"[{"identifier":"id1","name":"usr","srcid":"usr","change_frequency":4294967295}]"#,
        )
        .unwrap();
    }
    options
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_what_went_in(
        leaves in prop::collection::vec(leaf(), 0..25),
        later in prop::collection::vec(leaf(), 0..5),
        cut in 0..3,
        components in 1usize..12,
        decorated in any::<bool>(),
        entry_xattrs in any::<bool>(),
        max_layers in 1usize..9,
        packing in prop::sample::select(vec![Packing::GZIP_FAST, Packing::ZSTD, Packing::Plain]),
        archive in any::<bool>(),
    ) {
        let scene = Scene::new();
        let interrupt = Interrupt::default();
        let base: OwnedFd = File::open(scene.dir.path()).unwrap().into();
        let sink = |name: &str| Box::new(OciDirWriter::create(base.as_fd(), name).unwrap());
        let reference = |name: &str| format!("oci:{}", scene.dir.path().join(name).display());
        let mode = if archive { RepoMode::Archive } else { RepoMode::Bare };
        let mut options = decorations(decorated);
        options.max_layers = max_layers;
        options.layers.entry_xattrs = entry_xattrs;
        options.compression = Compression { packing, threads: 1 };
        let all: Vec<Leaf> = leaves.iter().chain(&later).cloned().collect();
        for (name, leaves) in [("first", &leaves), ("second", &all)] {
            let commit = commit(&scene, leaves);
            options.chunking = match cut {
                0 => Chunking::Single,
                1 => Chunking::Paths,
                _ => some_map(&scene.repo, &commit, components),
            };
            let wrapped = image::encapsulate(
                &scene.repo, &commit, sink(name), None, &options, &Silent, &interrupt,
            ).unwrap();
            prop_assert!(wrapped.layers.len() <= max_layers);
            let other = Scene::with_mode(mode);
            let source = open(&reference(name)).unwrap();
            // The second is cut as the first was.
            options.prior = Some(source.manifest().unwrap().manifest.manifest().clone());
            let refname = Some("back".parse().unwrap());
            let back = unencapsulate(&other.repo, &*source, refname).unwrap();
            prop_assert_eq!(back.commit, commit);
            other.assert_clean();
        }
        // Through a store, and out of it again.
        let other = Scene::with_mode(mode);
        let stored = other.pull_reference(&reference("second"), &ImportOptions::default()).unwrap();
        let mut exporting = image::ExportToOCIOpts::default();
        exporting.compression = options.compression;
        exporting.layers = options.layers;
        let name = reference("second").parse().unwrap();
        let exported = image::export(
            &other.repo, &name, sink("third"), None, &exporting, &Silent, &interrupt,
        ).unwrap();
        prop_assert_eq!(exported.digest, stored.state.manifest_digest.to_string());
    }
}
