//! Pulls that die: whatever the moment, the repository is clean and the same command completes.

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{answer, bootroot, ostree};
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;

/// An image of three layers with enough files that every directory of objects gets some.
fn image(version: u32) -> Image {
    let layer = |name: &str, version: u32| {
        let files = (0..120).map(|n| (format!("usr/{name}/{n}"), format!("{name} {n} {version}")));
        let start = TarWriter::new()
            .dir("usr", 0o755)
            .dir(format!("usr/{name}"), 0o755);
        let tar = files.fold(start, |tar, (path, text)| tar.file(path, 0o644, text));
        Layer::new(tar.finish())
    };
    Image::bootable()
        .layer(layer("base", 1))
        .layer(layer("middle", version))
        .layer(layer("top", version))
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = LayoutBuilder::new(dir.path().join("image"));
        layout.tag("v1", &image(1));
        layout.tag("v2", &image(2));
        answer(&mut bootroot(&format!(
            "--repo {}/repo ostree init",
            dir.path().display()
        )));
        Self { dir }
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn pull(&self, tag: &str) -> Command {
        let (dir, repo) = (self.dir.path().display(), self.repo());
        bootroot(&format!(
            "--quiet --repo {} image pull oci:{dir}/image:{tag} --target-imgref oci:/latest",
            repo.display()
        ))
    }

    /// The real `ostree` and we find nothing wrong.
    fn assert_clean(&self) {
        let repo = self.repo();
        answer(&mut ostree(&format!(
            "fsck --quiet --repo={}",
            repo.display()
        )));
        answer(&mut bootroot(&format!(
            "--repo {} ostree fsck --quiet",
            repo.display()
        )));
    }

    /// The tree that is stored under the name, as the real `ostree` lists it; `None` when none is.
    fn listing(&self) -> Option<String> {
        let repo = self.repo();
        let name = "ostree/container/image/oci_3A__2F_latest";
        let refs = answer(&mut ostree(&format!("refs --repo={}", repo.display())));
        let list = || {
            answer(&mut ostree(&format!(
                "ls -R -C --repo={} {name}",
                repo.display()
            )))
        };
        refs.lines().any(|line| line == name).then(list)
    }
}

/// Staging directories that are left; a lock file without one is empty and goes with age.
fn staging_dirs(repo: &Path) -> usize {
    let entries = std::fs::read_dir(repo.join("tmp"))
        .unwrap()
        .map(Result::unwrap);
    let staging =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("staging-");
    entries
        .filter(staging)
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .count()
}

/// Every named crash point that a pull passes, at its first passage and at later ones.
const POINTS: [&str; 14] = [
    "staging:locked",
    "transaction:synced",
    "transaction:synced:2",
    "transaction:synced:4",
    "transaction:head-published",
    "transaction:head-published:100",
    "transaction:head-published:700",
    "transaction:commit-published",
    "transaction:commit-published:4",
    "transaction:published:2",
    "transaction:ref-written",
    "transaction:ref-written:4",
    "publish:before-rename",
    "publish:before-rename:4",
];

#[test]
fn a_pull_survives_its_death_at_every_crash_point() {
    let whole = Bench::new();
    answer(&mut whole.pull("v1"));
    let before = whole.listing();
    answer(&mut whole.pull("v2"));
    let after = whole.listing();
    for point in POINTS {
        let bench = Bench::new();
        answer(&mut bench.pull("v1"));
        let died = bench
            .pull("v2")
            .env("BOOTROOT_CRASH_AT", point)
            .output()
            .unwrap();
        // Layers come in parallel; a point that lies behind the last passage is simply not reached.
        let aborted = died.status.signal() == Some(6);
        assert!(aborted || died.status.success(), "{point}: {died:?}");
        bench.assert_clean();
        let now = bench.listing();
        assert!(
            now == before || now == after,
            "{point}: neither old nor new"
        );
        answer(&mut bench.pull("v2"));
        bench.assert_clean();
        assert!(
            bench.listing() == after,
            "{point}: not the new tree after repeating"
        );
        // The next one that writes removes what the dead one left.
        answer(&mut bench.pull("v1"));
        assert_eq!(staging_dirs(&bench.repo()), 0, "{point}");
    }
}

#[test]
fn crash_points_are_really_reached() {
    for point in [
        "transaction:synced",
        "transaction:head-published",
        "transaction:ref-written",
    ] {
        let bench = Bench::new();
        let died = bench
            .pull("v1")
            .env("BOOTROOT_CRASH_AT", point)
            .output()
            .unwrap();
        assert_eq!(died.status.signal(), Some(6), "{point}");
    }
}

#[test]
fn a_pull_survives_being_killed_at_any_time() {
    let whole = Bench::new();
    answer(&mut whole.pull("v1"));
    let complete = whole.listing();
    let bench = Bench::new();
    // From before the first layer to about the end of the pull, without waiting for a lucky moment.
    for milliseconds in (0..60).step_by(4) {
        let mut child = bench.pull("v1").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        // It may have ended by itself.
        let _gone = child.kill();
        child.wait().unwrap();
        bench.assert_clean();
        let now = bench.listing();
        assert!(now.is_none() || now == complete, "after {milliseconds} ms");
    }
    answer(&mut bench.pull("v1"));
    assert!(bench.listing() == complete);
    // What a killed process left behind is removed by the next one that writes.
    answer(&mut bench.pull("v2"));
    assert_eq!(staging_dirs(&bench.repo()), 0);
}
