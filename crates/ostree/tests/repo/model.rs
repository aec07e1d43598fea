//! Random trees: made as real directories, and written through a transaction.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use ostree::{Transaction, Tree};
use ostree_format::{Checksum, Commit, DirMeta, FileHeader, Metadata, RepoMode, Xattrs, mode};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rustix::fs::XattrFlags;
use tree::{Dir, Name, Node};

/// Tries `check` with `cases` values, the same in every run. `BOOTROOT_TEST_SEED=N` chooses others; a failure
/// tells the number beside the smallest value that fails.
pub(crate) fn try_all<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value)) {
    let seed = std::env::var("BOOTROOT_TEST_SEED").map_or(1, |text| text.parse::<u64>().unwrap());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let tried = TestRunner::new_with_rng(config, random).run(strategy, |value| {
        check(value);
        Ok(())
    });
    if let Err(error) = tried {
        panic!("BOOTROOT_TEST_SEED={seed}: {error}");
    }
}

/// Owner, permission bits and attributes (empty values included).
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Item {
    Dir(Attributes, BTreeMap<String, Item>),
    /// Length and seed of the content.
    File(Attributes, usize, u8),
    Link(Attributes, String),
}

/// A value that the kernel accepts as `security.capability`: version 2, `cap_net_raw=ep`.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A directory that every mode can hold, in the form in which this mode holds it.
pub(crate) fn tree_for(mode: RepoMode) -> BoxedStrategy<Item> {
    let user_only = mode == RepoMode::BareUserOnly;
    any_dir()
        .prop_map(move |mut item| {
            if user_only {
                canonicalise(&mut item);
            }
            item
        })
        .boxed()
}

fn any_dir() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        3 => (attributes(), length(), any::<u8>()).prop_map(|(a, l, s)| Item::File(a, l, s)),
        1 => (attributes(), target()).prop_map(|(a, t)| Item::Link(a, t)),
    ];
    let item = leaf.prop_recursive(4, 40, 8, |inner| {
        (attributes(), children(inner)).prop_map(|(a, c)| Item::Dir(a, c))
    });
    (attributes(), children(item)).prop_map(|(a, c)| Item::Dir(a, c))
}

fn children(item: impl Strategy<Value = Item>) -> impl Strategy<Value = BTreeMap<String, Item>> {
    prop::collection::btree_map(name(), item, 0..8)
}

fn name() -> impl Strategy<Value = String> {
    let odd = [
        " ",
        "-",
        "--help",
        "a b",
        "new\nline",
        "tab\t",
        "\u{1}",
        "ü",
        "u\u{308}",
        "日本",
        ".wh.x",
        ".wh..wh..opq",
        ".ostree-wh.y",
        "~",
        "a:b",
        "*",
        "\\",
        "\"",
        "'",
        "...",
        ".hidden",
        "CON",
        "a.file",
        "x\u{7f}",
    ];
    prop_oneof![
        2 => "[a-zA-Z0-9._-]{1,10}".prop_filter("no dots", |n| n != "." && n != ".."),
        1 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => prop::collection::vec(prop::char::range('!', 'ÿ'), 1..4)
            .prop_map(|chars| chars.into_iter().filter(|c| *c != '/').collect::<String>() + "x"),
        1 => Just("n".repeat(255)),
    ]
}

fn target() -> impl Strategy<Value = String> {
    let odd = [
        "/",
        ".",
        "..",
        "../../x",
        "//",
        "a//b/",
        "/etc/passwd",
        "ü\n",
        " ",
        "-",
    ];
    prop_oneof![
        prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        "[a-z/.]{1,40}",
        Just("t/".repeat(2000)),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0usize..64,
        2 => prop::sample::select(vec![0, 4095, 4096, 4097, 65535, 65536, 65537]),
        1 => prop::sample::select(vec![1_048_575, 1_048_576, 1_048_577]),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let id = || prop_oneof![3 => Just(0u32), 1 => 0u32..70000, 1 => Just(u32::MAX - 1)];
    let bits = prop_oneof![
        2 => prop::sample::select(vec![0o644u32, 0o755, 0o600]),
        1 => 0u32..0o10000,
    ];
    let value = prop_oneof![
        1 => Just(Vec::new()),
        3 => prop::collection::vec(any::<u8>(), 1..20),
        1 => Just(vec![0u8; 900]),
    ];
    let names = vec![
        "user.a",
        "user.b.c",
        "user.ä",
        "trusted.t",
        "security.selinux",
        "security.capability",
    ];
    let xattrs = prop::collection::btree_map(prop::sample::select(names), value, 0..3);
    (id(), id(), bits, xattrs).prop_map(|(uid, gid, mode, xattrs)| {
        let fit = |(name, value): (&str, Vec<u8>)| match name {
            "security.capability" => (name.to_owned(), CAPABILITY.to_vec()),
            _ => (name.to_owned(), value),
        };
        let xattrs = xattrs.into_iter().map(fit).collect();
        Attributes {
            uid,
            gid,
            mode,
            xattrs,
        }
    })
}

/// What bare-user-only can hold; `ostree commit` into such a repository canonicalises just so.
fn canonicalise(item: &mut Item) {
    let attributes = match item {
        Item::Dir(attributes, children) => {
            children.values_mut().for_each(canonicalise);
            attributes
        }
        Item::File(attributes, ..) | Item::Link(attributes, _) => attributes,
    };
    *attributes = Attributes {
        uid: 0,
        gid: 0,
        mode: attributes.mode & 0o755 | 0o400,
        xattrs: BTreeMap::new(),
    };
}

pub(crate) fn content(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) | 0x100;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Compressible, but not constant.
        (state >> 28) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Make `item` as a real file or directory at `path`.
pub(crate) fn materialise(item: &Item, path: &Path) {
    match item {
        Item::Dir(attributes, children) => {
            fs::create_dir(path).unwrap();
            for (name, child) in children {
                materialise(child, &path.join(name));
            }
            apply(attributes, path, true);
        }
        Item::File(attributes, length, seed) => {
            fs::write(path, content(*length, *seed)).unwrap();
            apply(attributes, path, true);
        }
        Item::Link(attributes, target) => {
            symlink(target, path).unwrap();
            lchown(path, Some(attributes.uid), Some(attributes.gid)).unwrap();
            set_xattrs(attributes, path, false);
        }
    }
}

fn apply(attributes: &Attributes, path: &Path, user: bool) {
    chown(path, Some(attributes.uid), Some(attributes.gid)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(attributes.mode)).unwrap();
    set_xattrs(attributes, path, user);
}

fn set_xattrs(attributes: &Attributes, path: &Path, user: bool) {
    for (name, value) in &attributes.xattrs {
        if applies(name, user, path.is_dir()) {
            rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
        }
    }
}

/// The kernel refuses `user.*` on links, and takes capabilities only on files.
fn applies(name: &str, user: bool, is_dir: bool) -> bool {
    (user || !name.starts_with("user.")) && (name != "security.capability" || user && !is_dir)
}

fn stored_xattrs(attributes: &Attributes, user: bool, is_dir: bool) -> Xattrs {
    let pairs = attributes.xattrs.iter();
    pairs
        .filter(|(name, _)| applies(name, user, is_dir))
        .map(|(name, value)| (name.as_bytes(), value.as_slice()))
        .collect()
}

/// Write the tree; large files in pieces, as a stream would bring them.
pub(crate) fn write(txn: &Transaction<'_>, item: &Item) -> Tree {
    let Item::Dir(attributes, children) = item else {
        panic!("the root is a directory")
    };
    let meta = DirMeta {
        uid: attributes.uid,
        gid: attributes.gid,
        mode: mode::S_IFDIR | attributes.mode,
        xattrs: stored_xattrs(attributes, true, true),
    };
    let mut dir = Dir::new(txn.write_dirmeta(&meta).unwrap());
    for (name, child) in children {
        let node = match child {
            Item::Dir(..) => Node::Dir(write(txn, child)),
            leaf => Node::Leaf(write_leaf(txn, leaf)),
        };
        dir.children
            .insert(Name::new(name.as_bytes()).unwrap(), node);
    }
    dir
}

fn write_leaf(txn: &Transaction<'_>, item: &Item) -> Checksum {
    match item {
        Item::Dir(..) => panic!("a directory is no leaf"),
        Item::Link(a, target) => {
            let xattrs = stored_xattrs(a, false, false);
            let header = FileHeader::symlink(a.uid, a.gid, target.clone(), xattrs);
            txn.write_file(&header, &[]).unwrap()
        }
        Item::File(a, length, seed) => {
            let xattrs = stored_xattrs(a, true, false);
            let header = FileHeader::regular(a.uid, a.gid, a.mode, xattrs);
            let content = content(*length, *seed);
            if content.len() < 4096 {
                return txn.write_file(&header, &content).unwrap();
            }
            let mut writer = txn.content_writer(header, content.len() as u64).unwrap();
            for piece in content.chunks(60_000) {
                writer.write_piece(piece).unwrap();
            }
            writer.finish().unwrap()
        }
    }
}

/// A commit of `tree` with a fixed time.
pub(crate) fn commit(txn: &Transaction<'_>, tree: &Tree) -> Checksum {
    let contents = txn.write_tree(tree).unwrap();
    txn.write_commit(&commit_of(contents, tree.meta)).unwrap()
}

pub(crate) fn commit_of(contents: Checksum, meta: Checksum) -> Commit {
    Commit {
        metadata: Metadata::new(),
        parent: None,
        related: Vec::new(),
        subject: "test".into(),
        body: String::new(),
        timestamp: 1_700_000_000,
        contents,
        meta,
    }
}
