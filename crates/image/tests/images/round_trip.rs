//! Random commits through images, with random options: what comes out is what went in.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};

use image::{Chunking, Compression, EncapsulateOptions};
use layer::Packing;
use oci::layout::OciDirWriter;
use ostree::{Transaction, TransactionOptions, Tree};
use ostree_format::{Checksum, Commit, DirMeta, FileHeader, Metadata, RepoMode, Xattrs};
use progress::{Interrupt, Silent};
use proptest::prelude::*;
use tree::{Dir, Name, Node};

use crate::support::{Scene, open};

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_what_went_in(
        leaves in prop::collection::vec(leaf(), 0..25),
        chunked in any::<bool>(),
        entry_xattrs in any::<bool>(),
        max_layers in 1usize..9,
        packing in prop::sample::select(vec![Packing::GZIP_FAST, Packing::ZSTD, Packing::Plain]),
        archive in any::<bool>(),
    ) {
        let scene = Scene::new();
        let commit = commit(&scene, &leaves);
        let mut options = EncapsulateOptions::default();
        options.chunking = if chunked { Chunking::Paths } else { Chunking::Single };
        options.max_layers = max_layers;
        options.layers.entry_xattrs = entry_xattrs;
        options.compression = Compression { packing, threads: 1 };
        let base: OwnedFd = File::open(scene.dir.path()).unwrap().into();
        let sink = Box::new(OciDirWriter::create(base.as_fd(), "wrapped").unwrap());
        let interrupt = Interrupt::default();
        let wrapped =
            image::encapsulate(&scene.repo, &commit, sink, None, &options, &Silent, &interrupt).unwrap();
        prop_assert!(wrapped.layers.len() <= max_layers);
        let other = Scene::with_mode(if archive { RepoMode::Archive } else { RepoMode::Bare });
        let source = open(&format!("oci:{}", scene.dir.path().join("wrapped").display())).unwrap();
        let name = Some("back".parse().unwrap());
        let back = image::unencapsulate(&other.repo, &*source, name, &Silent, &interrupt).unwrap();
        prop_assert_eq!(back.commit, commit);
        other.assert_clean();
    }
}
