//! Storages that are written here are those that the real skopeo writes, and the real skopeo and podman use them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use containers::ContainerStore;
use containers_image::{ImageError, Pulled, WantedImage, pull};
use error_class::{Classified as _, ErrorClass};
use oci::context::Context;
use oci::source::{ImageSource, open};
use progress::{Interrupt, Silent};
use serde_json::Value;
use tempfile::TempDir;
use testkit::oci::{Compression, Image, Layer, LayoutBuilder};
use testkit::tar::{Entry, Sparse, TarWriter};

/// When images are pulled here.
const NOW: u64 = 1_700_000_000;
const NAME: &str = "example.com/app/web:1";

/// An OCI directory, and storages beside it.
struct Scene {
    dir: TempDir,
    layout: LayoutBuilder,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for storage in ["ours", "theirs"] {
            // skopeo leaves it.
            let mounted = self.path(storage).join("overlay");
            if testkit::disk::is_mounted(&mounted) {
                let _ = testkit::command("umount").arg(mounted).status();
            }
        }
    }
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = LayoutBuilder::new(dir.path().join("image"));
        Self { dir, layout }
    }

    fn with(image: &Image) -> Self {
        let mut scene = Self::new();
        scene.layout.tag("1", image);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> ContainerStore {
        let path = self.path("ours");
        fs::create_dir_all(&path).unwrap();
        // As skopeo makes it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&path, mode).unwrap();
        let dir = File::open(&path).unwrap();
        ContainerStore::new(dir.into(), path, self.path("ours-run"))
    }

    fn source(&self, tag: &str) -> Box<dyn ImageSource> {
        let root = File::open("/").unwrap();
        let name = format!("oci:{}:{tag}", self.layout.dir().display());
        open(&name.parse().unwrap(), &Context::new(root.into())).unwrap()
    }

    fn try_pull(&self, tag: &str, names: &[&str]) -> Result<Pulled, ImageError> {
        let (store, source) = (self.store(), self.source(tag));
        let session = store.begin(NOW, Duration::from_secs(5)).unwrap();
        let manifest = source.manifest().unwrap().manifest;
        let config = source.config(&manifest).unwrap();
        let wanted = WantedImage {
            source: &*source,
            manifest: &manifest,
            config: &config,
            names: names.iter().map(ToString::to_string).collect(),
            files: None,
        };
        let again = BTreeSet::new();
        pull(&session, &[wanted], &again, &Silent, &Interrupt::default())
    }

    #[track_caller]
    fn pull(&self, tag: &str, name: &str) -> Pulled {
        self.try_pull(tag, &[name]).unwrap()
    }

    /// How skopeo names an image in a storage here.
    fn name(&self, storage: &str, image: &str) -> String {
        let (root, run) = (self.path(storage), self.path(&format!("{storage}-run")));
        let (root, run) = (root.display(), run.display());
        format!("containers-storage:[overlay@{root}+{run}]{image}")
    }

    fn pull_by_skopeo(&self, tag: &str, name: &str) {
        let from = format!("oci:{}:{tag}", self.layout.dir().display());
        skopeo(&["copy", "--quiet", &from, &self.name("theirs", name)]);
    }

    fn list(&self, storage: &str, path: &str) -> Vec<Value> {
        let text = fs::read(self.path(storage).join(path)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn podman(&self) -> Command {
        let mut podman = testkit::command("podman");
        podman.arg("--root").arg(self.path("ours"));
        podman.arg("--runroot").arg(self.path("ours-run"));
        podman.args([
            "--storage-driver",
            "overlay",
            "--cgroup-manager",
            "cgroupfs",
        ]);
        podman.args(["--events-backend", "none"]);
        podman
    }
}

fn skopeo(arguments: &[&str]) {
    testkit::run(testkit::command("skopeo").args(arguments));
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    String::from_utf8(output.stdout).unwrap()
}

/// All that a lower layer may hold.
fn odd_layer() -> Vec<u8> {
    let long = format!("dir/{}/{}", "x".repeat(90), "y".repeat(120));
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let start = TarWriter::new()
        .entry(&Entry::dir("./").mode(0o711).mtime(5))
        .entry(
            &Entry::dir("dir")
                .mode(0o750)
                .owner(3, 4)
                .mtime(1_600_000_000),
        )
        .entry(&Entry::dir("dir/sub").mode(0o1700).owner(7, 8))
        .entry(&Entry::symlink("dir/link", "sub").owner(5, 6).mtime(77))
        .entry(&Entry::file("dir/link/through", "behind a link"))
        .entry(&Entry::file(&long, "a long name").mode(0))
        .entry(&Entry::file(b"dir/not-\xff-utf8".as_slice(), "bytes"))
        .entry(
            &Entry::file("dir/attribute", "x")
                .xattr("user.a", "b")
                .mtime(99),
        )
        .entry(
            &Entry::file("dir/capable", "x")
                .owner(1000, 1001)
                .xattr("security.capability", capability),
        )
        .entry(&Entry::file("dir/label", "x").xattr("security.selinux", "a:b:c:s0"))
        .entry(&Entry::file("dir/set", "x").owner(1000, 50).mode(0o6755))
        .entry(&Entry::file("dir/point", "x").pax("mtime", "1600000000.250000001"))
        .entry(&Entry::hardlink("dir/hard", "dir/attribute"))
        .entry(&Entry::fifo("dir/fifo").mode(0o622))
        .entry(&Entry::device("dev/null", b'3', 1, 3).mode(0o666))
        .entry(&Entry::device("dev/sda", b'4', 8, 0).owner(0, 6))
        .file("deep/and/deeper/file", 0o644, "nobody names the way")
        .file("gone", 0o644, "for the next layer to hide")
        .file("hidden/file", 0o644, "as well");
    let sizes = [0, 1, 511, 512, 513, 8191, 8192, 65536, 1_000_003];
    let all = sizes.into_iter().fold(start, |tar, size| {
        tar.file(format!("sizes/{size}"), 0o644, "z".repeat(size))
    });
    all.finish()
}

fn hiding_layer() -> Vec<u8> {
    TarWriter::new()
        .entry(&Entry::dir("dir").mode(0o700).mtime(3))
        .file(".wh.gone", 0o600, "")
        .entry(&Entry::dir("hidden").mtime(4))
        .entry(&Entry::file("hidden/.wh..wh..opq", "").owner(12, 13))
        .file("hidden/new", 0o644, "new")
        .finish()
}

fn odd_image() -> Image {
    Image::new()
        .created(Some("2024-01-02T03:04:05.678Z"))
        .layer(Layer::new(odd_layer()))
        .layer(Layer::new(hiding_layer()).compression(Compression::Zstd))
        .layer(
            Layer::new(TarWriter::new().file("third", 0o644, "<&>").finish())
                .compression(Compression::None),
        )
}

/// Everything below a directory with its time, but for those that nobody names in an archive.
fn times(root: &Path) -> BTreeMap<PathBuf, (i64, i64)> {
    let mut found = BTreeMap::new();
    let mut next = vec![root.to_owned()];
    while let Some(dir) = next.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                next.push(path.clone());
            }
            let is_whiteout = meta.rdev() == 0 && meta.mode() & 0o170_000 == 0o020_000;
            if !is_whiteout {
                let below = path.strip_prefix(root).unwrap().to_owned();
                found.insert(below, (meta.mtime(), meta.mtime_nsec()));
            }
        }
    }
    let unnamed = [
        "dev",
        "deep",
        "deep/and",
        "deep/and/deeper",
        "hidden",
        "sizes",
        "dir/sub",
    ];
    let long = Path::new("dir").join("x".repeat(90));
    found.retain(|path, (seconds, _)| {
        let is_unnamed = unnamed.iter().any(|one| path == Path::new(one)) || *path == long;
        // What was made on the way has the time of then.
        !is_unnamed || *seconds < 1_700_000_000
    });
    found
}

/// What both say of layers and images, without what depends on when.
fn facts(scene: &Scene, storage: &str) -> (Vec<Value>, Vec<Value>) {
    let mut layers = scene.list(storage, "overlay-layers/layers.json");
    for layer in &mut layers {
        assert!(layer["created"].as_str().unwrap().ends_with('Z'));
        layer["created"] = Value::Null;
    }
    layers.sort_by_key(|layer| layer["id"].to_string());
    (layers, scene.list(storage, "overlay-images/images.json"))
}

#[test]
fn a_storage_is_the_one_that_skopeo_writes() {
    let scene = Scene::with(&odd_image());
    let pulled = scene.pull("1", NAME);
    assert_eq!(pulled.layers, 3);
    scene.pull_by_skopeo("1", NAME);
    let (ours, theirs) = (facts(&scene, "ours"), facts(&scene, "theirs"));
    assert_eq!(ours, theirs);
    let (ours, theirs) = (scene.path("ours"), scene.path("theirs"));
    for layer in scene.list("theirs", "overlay-layers/layers.json") {
        let place = Path::new("overlay").join(layer["id"].as_str().unwrap());
        let (ours, theirs) = (ours.join(&place), theirs.join(&place));
        let (our_files, their_files) = (ours.join("diff"), theirs.join("diff"));
        testkit::manifest(&our_files).assert_same(&testkit::manifest(&their_files));
        assert_eq!(times(&our_files), times(&their_files));
        let modes = |dir: &Path| -> BTreeMap<_, _> {
            let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
            let mode = |entry: fs::DirEntry| (entry.file_name(), entry.metadata().unwrap().mode());
            entries.map(mode).collect()
        };
        assert_eq!(modes(&ours), modes(&theirs));
        assert_eq!(
            modes(ours.parent().unwrap())[ours.file_name().unwrap()],
            0o040_700
        );
        // Short names differ; how many layers lie below does not.
        let below = |dir: &Path| {
            let lower = fs::read_to_string(dir.join("lower")).unwrap_or_default();
            lower.split(':').filter(|name| !name.is_empty()).count()
        };
        assert_eq!(below(&ours), below(&theirs));
        for name in fs::read_to_string(ours.join("lower"))
            .unwrap_or_default()
            .split(':')
        {
            assert!(scene.path("ours/overlay").join(name).is_dir(), "{name}");
        }
    }
    for image in scene.list("theirs", "overlay-images/images.json") {
        let place = Path::new("overlay-images").join(image["id"].as_str().unwrap());
        let documents = testkit::manifest(&ours.join(&place));
        documents.assert_same(&testkit::manifest(&theirs.join(&place)));
    }
    for place in ["overlay", "overlay/l", "overlay-images", "overlay-layers"] {
        let mode = |root: &Path| fs::metadata(root.join(place)).unwrap().mode();
        assert_eq!(mode(&ours), mode(&theirs), "{place}");
    }
}

/// A way to write a file with holes, of this size and with these pieces.
type Holes = fn(u64, &[(u64, &[u8])]) -> Sparse;

#[test]
fn skopeo_gives_the_same_layers_back() {
    let sparse = |how: Holes| {
        how(
            100_000,
            &[(0, &[b'a'; 512][..]), (50_000, b"in the middle")],
        )
    };
    let odd = TarWriter::new()
        .entry(&Entry::sparse("old", sparse(Sparse::old_gnu)))
        .entry(&Entry::sparse("new", sparse(Sparse::pax_1_0)))
        .entry(&Entry::dir("twice"))
        .entry(&Entry::dir("twice").mode(0o700))
        .file("unusual", 0o644, "content")
        .pax_global(&[("comment", "of nobody")])
        .file("last", 0o644, "last")
        .raw([0; 512 * 9])
        .finish();
    let layers = [
        Layer::new(odd_layer()),
        Layer::new(hiding_layer()),
        Layer::new(odd).compression(Compression::Zstd),
    ];
    let diff_ids: Vec<_> = layers.iter().map(Layer::diff_id).collect();
    let scene = Scene::with(&layers.into_iter().fold(Image::new(), Image::layer));
    scene.pull("1", NAME);
    let copy = scene.path("copy");
    let to = format!("dir:{}", copy.display());
    skopeo(&["copy", "--quiet", &scene.name("ours", NAME), &to]);
    for diff_id in &diff_ids {
        let blob = fs::read(copy.join(diff_id.trim_start_matches("sha256:"))).unwrap();
        assert_eq!(testkit::oci::digest(&blob), *diff_id);
    }
    // A file with holes has them filled in.
    let layers = scene.list("ours", "overlay-layers/layers.json");
    let top = layers
        .iter()
        .find(|layer| layer["diff-digest"] == *diff_ids[2])
        .unwrap();
    let diff = scene
        .path("ours/overlay")
        .join(top["id"].as_str().unwrap())
        .join("diff");
    for name in ["old", "new"] {
        let content = fs::read(diff.join(name)).unwrap();
        assert_eq!(content, sparse(Sparse::old_gnu).expanded());
    }
    assert_eq!(fs::metadata(diff.join("twice")).unwrap().mode(), 0o040_700);
}

#[test]
fn podman_runs_what_is_written() {
    let busybox = fs::read(testkit::tool("busybox")).unwrap();
    let base = TarWriter::new()
        .dir("bin", 0o755)
        .file("bin/busybox", 0o755, busybox)
        .symlink("bin/sh", "busybox")
        .file("etc/hidden", 0o644, "below")
        .file("etc/hides", 0o644, "below")
        .finish();
    let top = TarWriter::new()
        .file("etc/.wh.hidden", 0o644, "")
        .file("etc/hides", 0o644, "above\n")
        .finish();
    let image = Image::new().layer(Layer::new(base)).layer(Layer::new(top));
    let scene = Scene::with(&image);
    scene.pull("1", NAME);
    let listed = said(
        scene
            .podman()
            .args(["images", "--format", "{{.Repository}}:{{.Tag}}"]),
    );
    assert_eq!(listed, format!("{NAME}\n"));
    // Not `run`: not every machine lets containers have their limits and control groups.
    let create = [
        "create",
        "--network",
        "none",
        "--pull",
        "never",
        NAME,
        "/bin/sh",
    ];
    let container = said(scene.podman().args(create));
    let root = said(scene.podman().args(["mount", container.trim()]));
    let mut chroot = Command::new("chroot");
    chroot.args([root.trim(), "/bin/sh", "-c"]);
    chroot.arg("/bin/busybox cat /etc/hides; test ! -e /etc/hidden");
    let ran = chroot.output();
    said(scene.podman().args(["umount", container.trim()]));
    said(scene.podman().args(["rm", container.trim()]));
    let ran = ran.unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert_eq!(ran.stdout, b"above\n");
    // What podman has removed, is not there for us.
    said(scene.podman().args(["rmi", NAME]));
    assert!(scene.store().images().unwrap().is_empty());
    assert_eq!(scene.pull("1", NAME).layers, 2);
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let layer = |name: &str| Layer::new(TarWriter::new().file(name, 0o644, name).finish());
    let (a, b, c) = (layer("a"), layer("b"), layer("c"));
    let mut scene = Scene::new();
    scene
        .layout
        .tag("1", &Image::new().layer(a.clone()).layer(b.clone()));
    scene
        .layout
        .tag("2", &Image::new().layer(a.clone()).layer(c.clone()));
    scene
        .layout
        .tag("3", &Image::new().layer(c.clone()).layer(a.clone()));
    assert_eq!(scene.pull("1", NAME).layers, 2);
    fs::remove_file(scene.layout.blob(&a.digest())).unwrap();
    let second = scene.pull("2", "example.com/app/db:1");
    assert_eq!((second.layers, second.bytes > 0), (1, true));
    // The archives are there, but upon others.
    fs::remove_file(scene.layout.blob(&c.digest())).unwrap();
    let third = scene.pull("3", "example.com/app/x:1");
    assert_eq!((third.layers, third.bytes), (2, 0));
    let copy = format!("dir:{}", scene.path("copy").display());
    skopeo(&[
        "copy",
        "--quiet",
        &scene.name("ours", "example.com/app/x:1"),
        &copy,
    ]);
}

#[test]
fn a_name_moves_and_the_old_image_is_found_by_its_digest() {
    let image = |text: &str| {
        let layer = TarWriter::new().file("file", 0o644, text).finish();
        Image::new().layer(Layer::new(layer))
    };
    let mut scene = Scene::new();
    let old = scene.layout.tag("1", &image("old"));
    let new = scene.layout.tag("2", &image("new"));
    scene.pull("1", NAME);
    scene.pull("2", NAME);
    let images = scene.store().images().unwrap();
    let names: BTreeMap<_, _> = images
        .into_iter()
        .map(|image| (image.digest, image.names))
        .collect();
    assert_eq!(names[&new], [NAME]);
    assert_eq!(names[&old], [format!("example.com/app/web@{old}")]);
    skopeo(&["inspect", "--raw", &scene.name("ours", &names[&old][0])]);
}

#[test]
fn what_is_not_wanted_goes_with_its_layers() {
    let layer = |name: &str| Layer::new(TarWriter::new().file(name, 0o644, name).finish());
    let mut scene = Scene::new();
    scene
        .layout
        .tag("1", &Image::new().layer(layer("a")).layer(layer("b")));
    scene
        .layout
        .tag("2", &Image::new().layer(layer("a")).layer(layer("c")));
    scene.pull("2", "example.com/app/db:1");
    let only_second = everything(&scene.path("ours"));
    scene.pull("1", NAME);
    let store = scene.store();
    let session = store.begin(NOW, Duration::from_secs(5)).unwrap();
    let keeps = |image: &containers::StoredContainerImage| image.names != [NAME];
    assert_eq!(session.collect(keeps).unwrap(), 1);
    assert_eq!(everything(&scene.path("ours")), only_second);
    skopeo(&["inspect", &scene.name("ours", "example.com/app/db:1")]);
    assert_eq!(session.collect(|_| false).unwrap(), 1);
    assert_eq!(
        scene.list("ours", "overlay-layers/layers.json"),
        Vec::<Value>::new()
    );
    assert_eq!(
        fs::read_dir(scene.path("ours/overlay/l")).unwrap().count(),
        0
    );
}

/// All paths below.
fn everything(root: &Path) -> Vec<String> {
    testkit::manifest(root).0.into_keys().collect()
}

#[test]
fn an_image_comes_whole_or_not_at_all() {
    let good = Layer::new(TarWriter::new().file("good", 0o644, "good").finish());
    let file = |content: &str| TarWriter::new().file("file", 0o644, content);
    let bad = |layer: Layer| Image::new().layer(good.clone()).layer(layer);
    let twice = Layer::new(file("one").file("./file", 0o644, "two").finish());
    let up = Layer::new(TarWriter::new().file("../up", 0o644, "x").finish());
    let nothing = TarWriter::new().hardlink("link", "nothing").finish();
    let other = Layer::new(file("x").finish()).stored_blob(|mut blob| {
        *blob.last_mut().unwrap() ^= 1;
        blob
    });
    for (layer, class, expected) in [
        (other, ErrorClass::Corrupt, "sha256"),
        (
            Layer::new(file("x").finish()).lie_diff_id(&good.diff_id()),
            ErrorClass::Corrupt,
            "diff_id",
        ),
        (twice, ErrorClass::Unsupported, "already"),
        (up, ErrorClass::InvalidInput, ".."),
        (Layer::new(nothing), ErrorClass::InvalidInput, "hard link"),
    ] {
        let scene = Scene::with(&bad(layer));
        let error = scene.try_pull("1", &[NAME]).unwrap_err();
        let said = error.to_string();
        assert_eq!(error.class(), class, "{said}");
        assert!(said.contains(expected), "{said}");
        let store = scene.store();
        assert_eq!(store.images().unwrap(), []);
        // The next one removes what is left; a layer that was complete is removed when it is not needed.
        let session = store.begin(NOW, Duration::from_secs(5)).unwrap();
        session.collect(|_| true).unwrap();
        for place in ["overlay/l", "bootroot-staging", "overlay-images"] {
            let left = fs::read_dir(scene.path("ours").join(place)).unwrap();
            let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
            let only_lists = |name: &std::ffi::OsString| name.as_bytes().starts_with(b"images.");
            assert!(left.iter().all(only_lists), "{place}: {left:?}");
        }
    }
}
