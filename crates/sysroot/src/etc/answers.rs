//! The merge against what `ostree admin deploy` 2026.4 made of the same trees: every combination of
//! absent, file, changed file, link, directory and attributes on three sides, and special cases
//! (`tests/fixtures/etc/record.py`).

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{EtcPlan, apply, scan_directory};
use crate::copy::Xattrs;

struct Answer<'a> {
    old: &'a str,
    new: &'a str,
    current: &'a str,
    ok: bool,
    result: &'a str,
}

fn answers(text: &str) -> Vec<Answer<'_>> {
    text.lines()
        .map(|line| {
            let [old, new, current, outcome, result]: [&str; 5] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            Answer {
                old,
                new,
                current,
                ok: outcome == "ok",
                result,
            }
        })
        .collect()
}

/// Items of a tree: path, kind, mode, owner, data.
fn items(spec: &str) -> impl Iterator<Item = [&str; 5]> {
    spec.split(' ')
        .filter(|item| !item.is_empty())
        .map(|item| item.splitn(5, ':').collect::<Vec<_>>().try_into().unwrap())
}

fn build(root: &Path, spec: &str) {
    fs::create_dir(root).unwrap();
    for [path, kind, _, _, data] in items(spec) {
        let path = root.join(path);
        match kind {
            "d" => fs::create_dir(path).unwrap(),
            "l" => std::os::unix::fs::symlink(data, path).unwrap(),
            "p" => make_fifo(&path),
            _ => fs::write(path, data).unwrap(),
        }
    }
    for [path, kind, mode, uid, _] in items(spec) {
        let path = root.join(path);
        let uid = uid.parse().unwrap();
        std::os::unix::fs::lchown(&path, Some(uid), Some(uid)).unwrap();
        if kind != "l" {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
}

fn describe(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let (kind, data) = match meta.file_type() {
            kind if kind.is_dir() => ("d", String::new()),
            kind if kind.is_symlink() => ("l", fs::read_link(&path).unwrap().display().to_string()),
            kind if kind.is_file() => ("f", fs::read_to_string(&path).unwrap()),
            _ => ("p", String::new()),
        };
        let shown = path.strip_prefix(root).unwrap().display();
        found.push(format!(
            "{shown}:{kind}:{:o}:{}:{data}",
            meta.mode() & 0o7777,
            meta.uid()
        ));
        if kind == "d" {
            describe(root, &path, found);
        }
    }
}

fn listing(root: &Path) -> String {
    let mut found = Vec::new();
    describe(root, root, &mut found);
    found.sort();
    found.join(" ")
}

/// What ours makes of it: the plan's own result on disk, or `None` when the plan is blocked.
fn ours(scratch: &Path, answer: &Answer<'_>) -> Option<String> {
    let _ = fs::remove_dir_all(scratch.join("case"));
    let path = |name: &str| scratch.join("case").join(name);
    fs::create_dir(scratch.join("case")).unwrap();
    for (name, spec) in [
        ("old", answer.old),
        ("current", answer.current),
        ("new", answer.new),
    ] {
        build(&path(name), spec);
    }
    let open = |name: &str| File::open(path(name)).unwrap();
    let scan = |name: &str| scan_directory(open(name).as_fd()).unwrap();
    let plan = EtcPlan::new(&scan("old"), &scan("current"), &scan("new"));
    if !plan.blocks.is_empty() {
        return None;
    }
    apply(
        &plan,
        open("current").as_fd(),
        open("new").as_fd(),
        Xattrs::Copy,
    )
    .unwrap();
    // What came out is what the plan had said.
    assert_eq!(
        &scan("new"),
        plan.merged(),
        "{} | {} | {}",
        answer.old,
        answer.new,
        answer.current
    );
    let _ = fs::remove_file(path("new").join(".updated"));
    Some(listing(&path("new")))
}

/// libostree fails when something was removed locally whose directory is a file in the new default:
/// "unlinkat: Not a directory". Nothing is there to be removed, so ours goes on.
fn is_needless_failure(answer: &Answer<'_>) -> bool {
    answer.result.contains("unlinkat(") && answer.result.ends_with("Not a directory")
}

/// libostree loses what was put into a directory that the old default had as a file or link and the
/// new default has as a directory: it does not look into it. Ours carries it over.
fn is_needless_loss(answer: &Answer<'_>) -> bool {
    let kind = |spec, path| {
        items(spec)
            .find(|item| item[0] == path)
            .map(|item| item[1].to_owned())
    };
    let is_dir = |spec| kind(spec, "p").as_deref() == Some("d");
    let was_other = kind(answer.old, "p").is_some_and(|kind| kind != "d");
    was_other
        && is_dir(answer.new)
        && is_dir(answer.current)
        && kind(answer.current, "p/c").is_some()
}

#[test]
fn merges_as_libostree() {
    let scratch = tempfile::tempdir().unwrap();
    let text = include_str!("../../tests/fixtures/etc/answers.tsv");
    let answers = answers(text);
    assert!(answers.len() > 600);
    let mut lost = 0;
    for answer in &answers {
        let case = format!(
            "old {:?}\nnew {:?}\ncurrent {:?}",
            answer.old, answer.new, answer.current
        );
        let result = ours(scratch.path(), answer);
        if is_needless_failure(answer) {
            assert!(result.is_some(), "{case}");
        } else if is_needless_loss(answer) {
            let own = items(answer.current).filter(|item| item[0] != "p");
            let own: Vec<_> = own.map(|item| item.join(":")).collect();
            let result = result.unwrap();
            assert!(
                own.iter().all(|item| result.contains(item)),
                "{case}\n{result}"
            );
            lost += usize::from(!own.iter().all(|item| answer.result.contains(item)));
        } else if answer.ok {
            assert_eq!(result.as_deref(), Some(answer.result), "{case}");
        } else {
            assert_eq!(result, None, "{case}\ntheirs: {}", answer.result);
        }
    }
    assert!(lost > 0);
}
