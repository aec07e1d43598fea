//! Pulls over a connection that breaks: what has arrived is not fetched again, whatever died.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::{answer, bootroot, ostree};
use testkit::oci::{Compression, Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;
use testkit::{FaultProxy, Registry};

/// What a try may fetch beside layers (manifest, configuration, headers), and what may be under way
/// when it ends.
const PER_TRY: u64 = 64 << 10;
const LIMIT: Duration = Duration::from_secs(60);

/// Content that does not compress: the numbers of a generator, as text.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text += &format!("{state:016x}");
    }
    text
}

fn image(layers: u64) -> Image {
    let layer = |name: &str, seed: u64| {
        let start = TarWriter::new()
            .dir("usr", 0o755)
            .dir(format!("usr/{name}"), 0o755);
        let files = (0..8).map(|n| (format!("usr/{name}/{n}"), noise(seed + n, 400_000)));
        let tar = files.fold(start, |tar, (path, text)| tar.file(path, 0o644, text));
        Layer::new(tar.finish()).compression(Compression::None)
    };
    (0..layers).fold(Image::bootable(), |image, n| {
        image.layer(layer(&format!("l{n}"), 100 * n))
    })
}

struct Bench {
    dir: tempfile::TempDir,
    proxy: FaultProxy,
    registry: Registry,
    size: u64,
}

impl Bench {
    fn new(layers: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = LayoutBuilder::new(dir.path().join("image"));
        layout.tag("v1", &image(layers));
        let registry = Registry::start();
        registry.push(&format!("oci:{}/image:v1", dir.path().display()), "os:v1");
        let bench = Self {
            proxy: FaultProxy::start(&registry.host()),
            dir,
            registry,
            size: 0,
        };
        bench.init("repo");
        bench.init("whole");
        answer(&mut bench.pull("whole"));
        let size = bench.proxy.sent();
        Self { size, ..bench }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn init(&self, repo: &str) {
        answer(&mut bootroot(&format!(
            "--repo {} ostree init",
            self.path(repo).display()
        )));
    }

    fn pull(&self, repo: &str) -> std::process::Command {
        bootroot(&format!(
            "--quiet --repo {} image pull registry:{}/os:v1 --target-imgref oci:/latest",
            self.path(repo).display(),
            self.proxy.host()
        ))
    }

    fn start(&self, repo: &str) -> Child {
        let mut command = self.pull(repo);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Bytes in the store's parts.
    fn kept(&self) -> u64 {
        bytes_below(&self.path("repo/tmp/bootroot-partial-blobs"))
    }

    fn listing(&self, repo: &str) -> String {
        answer(&mut ostree(&format!(
            "ls -R -C --repo={} ostree/container/image/oci_3A__2F_latest",
            self.path(repo).display()
        )))
    }

    /// The pull completes, is right, has cost no more than it must, and leaves nothing behind.
    fn assert_completes(&self, since: u64, tries: u64) {
        answer(&mut self.pull("repo"));
        assert_eq!(self.listing("repo"), self.listing("whole"));
        answer(&mut ostree(&format!(
            "fsck --quiet --repo={}",
            self.path("repo").display()
        )));
        let fetched = self.proxy.sent() - since;
        let most = self.size + tries * PER_TRY;
        assert!(fetched <= most, "{fetched} bytes instead of {most}");
        assert_eq!(self.kept(), 0);
        assert!(self.registry.log().contains("manifests"));
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.unwrap().metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_pull_that_is_killed_again_and_again_fetches_everything_once() {
    // One layer, so that what is kept only grows.
    let bench = Bench::new(1);
    let since = bench.proxy.sent();
    let tries = 8;
    for _ in 0..tries {
        let (before, kept) = (bench.proxy.sent(), bench.kept());
        let step = bench.size / (tries + 2);
        bench.proxy.stall_after(step);
        let mut pull = bench.start("repo");
        wait_until("the stall", || bench.proxy.sent() >= before + step);
        // What was sent is kept, but for manifests and headers.
        wait_until("keeping", || bench.kept() + PER_TRY / 2 >= kept + step);
        pull.kill().unwrap();
        pull.wait().unwrap();
        bench.proxy.hang_up();
    }
    bench.assert_completes(since, tries + 1);
}

#[test]
fn a_connection_that_breaks_at_many_places_costs_little() {
    let bench = Bench::new(2);
    let since = bench.proxy.sent();
    // An odd number, so that no multiple of a buffer is met.
    bench.proxy.cut_every(bench.size / 9 + 77);
    answer(&mut bench.pull("repo"));
    bench.proxy.pass();
    let cuts = bench.proxy.cuts();
    assert!(cuts >= 8, "{cuts}");
    bench.assert_completes(since, cuts + 2);
}
