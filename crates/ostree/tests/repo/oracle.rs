//! Running the real `ostree` on a repository, and opening it with ours.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use ostree::{FsckOptions, FsckReport, Repo};
use ostree_format::{ObjectKind, RepoMode};
use progress::{Interrupt, Silent};

/// Every mode that the `ostree` command can make.
pub(crate) const MODES: [RepoMode; 4] = [
    RepoMode::Bare,
    RepoMode::BareUser,
    RepoMode::BareUserOnly,
    RepoMode::Archive,
];

pub(crate) fn open(path: &Path) -> Repo {
    Repo::open(File::open(path).unwrap().into()).unwrap()
}

pub(crate) fn init(path: &Path, mode: RepoMode) -> Repo {
    let base = File::open("/").unwrap();
    Repo::init_at(base.as_fd(), path, mode).unwrap()
}

/// `ostree --repo=PATH`.
pub(crate) fn ostree(repo: &Path) -> Command {
    let mut command = testkit::command("ostree");
    command.arg(format!("--repo={}", repo.display()));
    command
}

#[track_caller]
pub(crate) fn theirs(repo: &Path, arguments: &[&str]) -> String {
    testkit::stdout(ostree(repo).args(arguments))
}

/// Both say that the repository is whole.
#[track_caller]
pub(crate) fn assert_clean(repo: &Path) -> FsckReport {
    let seen = theirs(repo, &["fsck"]);
    assert!(seen.contains("no errors found"), "{seen}");
    let report = fsck(&open(repo));
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    report
}

pub(crate) fn fsck(repo: &Repo) -> FsckReport {
    repo.fsck(&FsckOptions::default(), &Silent, &Interrupt::default())
        .unwrap()
}

/// Names of all objects but commits, whose names depend on who made them.
pub(crate) fn objects(repo: &Repo) -> BTreeSet<String> {
    let all = (0..=u8::MAX).flat_map(|head| repo.objects_in(head).unwrap());
    all.filter(|name| name.kind != ObjectKind::Commit)
        .map(|name| name.to_string())
        .collect()
}

/// Names in the repository's `tmp` that are not there when nobody works with it.
pub(crate) fn left_in_tmp(repo: &Path) -> Vec<String> {
    let names = std::fs::read_dir(repo.join("tmp")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "cache").collect()
}
