//! Imports the corpus of nasty archives and compares with what the real tools made of them.
//!
//! `make_archives.py` made the archives, `make_expected.sh` asked the tools; `docs/tar-semantics.md`
//! has the rules.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};
use layer::{DeferredLink, LayerBlob, LayerError, TreeLayer, TreeOptions, import_tree};
use ostree::{Repo, Transaction, Tree};
use ostree_format::{Checksum, RepoMode};
use progress::Interrupt;
use tree::{Name, Node};

/// Files of image builders that a merge drops when they are empty; not the importer's affair.
const LEFTOVER_CASES: [&str; 2] = ["leftovers", "leftovers-hide"];

struct Case {
    name: String,
    layers: usize,
    oracle: String,
}

/// What `expected/CASE.txt` says.
struct Expected {
    layers: Vec<String>,
    tree: Vec<String>,
}

/// Why a case gives no tree.
enum Refusal {
    Layer(LayerError),
    Dangling,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn cases() -> Vec<Case> {
    let table = fs::read_to_string(corpus().join("cases.tsv")).expect("cases.tsv");
    let case = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        Case {
            name: fields[0].to_owned(),
            layers: fields[1].parse().expect("number of layers"),
            oracle: fields[2].to_owned(),
        }
    };
    table.lines().map(case).collect()
}

impl Case {
    fn archive(&self, index: usize) -> Vec<u8> {
        let path = corpus().join(format!("archives/{}.{index}.tar.gz", self.name));
        let packed = fs::File::open(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed)
            .read_to_end(&mut bytes)
            .expect("archive is gzip");
        bytes
    }

    fn expected(&self) -> Expected {
        let path = corpus().join(format!("expected/{}.txt", self.name));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let lines = |prefix: &str| -> Vec<String> {
            text.lines()
                .filter(|line| line.starts_with(prefix))
                .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
                .collect()
        };
        let mut tree = lines("d ");
        tree.extend(lines("f "));
        tree.sort();
        Expected {
            layers: lines("layer "),
            tree,
        }
    }
}

fn import(txn: &Transaction<'_>, bytes: Vec<u8>) -> Result<TreeLayer, LayerError> {
    let size = bytes.len() as u64;
    let blob = LayerBlob {
        bytes: Box::new(std::io::Cursor::new(bytes)),
        size,
        diff_id: None,
    };
    import_tree(
        txn,
        blob,
        TreeOptions::default(),
        None,
        &Interrupt::default(),
    )
}

/// Put the files that deferred links name into their layer, as the merge of an image does.
fn resolve(below: Option<&Tree>, layer: &mut TreeLayer) -> Result<(), Refusal> {
    let mut links = std::mem::take(&mut layer.deferred);
    while !links.is_empty() {
        let before = links.len();
        links.retain(|link| !resolve_one(below, &mut layer.tree, link));
        if links.len() == before {
            return Err(Refusal::Dangling);
        }
    }
    Ok(())
}

fn resolve_one(below: Option<&Tree>, layer: &mut Tree, link: &DeferredLink) -> bool {
    let find = |tree: &Tree| {
        tree.get(link.target.split('/').map(str::as_bytes))
            .and_then(Node::as_leaf)
            .copied()
    };
    let Some(target) = find(layer).or_else(|| below.and_then(find)) else {
        return false;
    };
    let (parents, name) = link.path.rsplit_once('/').unwrap_or(("", &link.path));
    let parents = parents
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::as_bytes);
    let name = Name::new(name.as_bytes()).expect("a link has a name");
    let dir = layer.dir_mut(parents).expect("a link has a parent");
    dir.children.entry(name).or_insert(Node::Leaf(target));
    true
}

/// The roots of the layers by themselves and the merged tree.
fn run(txn: &Transaction<'_>, case: &Case) -> Result<(Vec<String>, Tree), Refusal> {
    let mut roots = Vec::new();
    let mut merged: Option<Tree> = None;
    for index in 0..case.layers {
        let mut layer = import(txn, case.archive(index)).map_err(Refusal::Layer)?;
        let contents = txn.write_tree(&layer.tree).expect("tree is written");
        roots.push(format!("layer {index} {contents} {}", layer.tree.meta));
        resolve(merged.as_ref(), &mut layer)?;
        match &mut merged {
            Some(below) => below.overlay(layer.tree),
            None => merged = Some(layer.tree.without_whiteouts()),
        }
    }
    Ok((roots, merged.expect("a case has layers")))
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

/// The tree in the form of `expected/`.
fn listing(txn: &Transaction<'_>, dir: &Tree, path: &[u8], out: &mut Vec<String>) {
    let contents: Checksum = txn.write_tree(dir).expect("tree is written");
    let shown = if path.is_empty() { b"/" } else { path };
    out.push(format!("d {contents} {} {}", dir.meta, escaped(shown)));
    for (name, node) in &dir.children {
        let path = [path, b"/", name.as_bytes()].concat();
        match node {
            Node::Dir(dir) => listing(txn, dir, &path, out),
            Node::Leaf(checksum) => out.push(format!("f {checksum} {}", escaped(&path))),
        }
    }
}

/// How two lists differ, as lines with `-` (missing) and `+` (unexpected).
fn difference(expected: &[String], got: &[String]) -> String {
    let missing = expected
        .iter()
        .filter(|line| !got.contains(line))
        .map(|line| format!("  - {line}"));
    let extra = got
        .iter()
        .filter(|line| !expected.contains(line))
        .map(|line| format!("  + {line}"));
    missing.chain(extra).collect::<Vec<_>>().join("\n")
}

fn refused_class(oracle: &str) -> Option<ErrorClass> {
    match oracle.strip_prefix("refused:")? {
        "Corrupt" => Some(ErrorClass::Corrupt),
        "InvalidInput" => Some(ErrorClass::InvalidInput),
        other => panic!("unknown class {other}"),
    }
}

/// `None` if the importer did what the case wants.
fn disagreement(txn: &Transaction<'_>, case: &Case) -> Option<String> {
    let class = refused_class(&case.oracle);
    match (run(txn, case), class) {
        (Ok(_), Some(_)) => Some("  accepted, but must be refused".to_owned()),
        (Err(Refusal::Dangling), Some(ErrorClass::InvalidInput)) => None,
        (Err(Refusal::Dangling), _) => {
            Some("  a hard link to an earlier layer was not found".to_owned())
        }
        (Err(Refusal::Layer(error)), Some(class)) if error.class() == class => None,
        (Err(Refusal::Layer(error)), _) => Some(format!("  {:?}: {error}", error.class())),
        (Ok((roots, tree)), None) => {
            let expected = case.expected();
            let mut got = Vec::new();
            listing(txn, &tree, b"", &mut got);
            got.sort();
            let layers = if expected.layers.is_empty() {
                String::new()
            } else {
                difference(&expected.layers, &roots)
            };
            let tree = if LEFTOVER_CASES.contains(&case.name.as_str()) {
                String::new()
            } else {
                difference(&expected.tree, &got)
            };
            (!layers.is_empty() || !tree.is_empty()).then(|| format!("{layers}\n{tree}"))
        }
    }
}

#[test]
fn importer_agrees_with_the_real_tools() {
    let scratch = tempfile::tempdir().expect("scratch directory");
    let base = fs::File::open(scratch.path()).expect("scratch directory opens");
    let repo = Repo::init_at(base.as_fd(), Path::new("repo"), RepoMode::Bare).expect("repository");
    let mut disagreements = Vec::new();
    let cases = cases();
    for case in &cases {
        let txn = repo
            .begin(ostree::TransactionOptions::default())
            .expect("transaction");
        if let Some(text) = disagreement(&txn, case) {
            disagreements.push(format!("{} [{}]\n{text}", case.name, case.oracle));
        }
    }
    assert!(cases.len() > 270, "{} cases", cases.len());
    assert!(
        disagreements.is_empty(),
        "{} of {} cases disagree:\n{}",
        disagreements.len(),
        cases.len(),
        disagreements.join("\n")
    );
}
