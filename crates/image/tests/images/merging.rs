//! The tree that several layers give, compared with the real `ostree` laying them over each other.

use ostree_format::RepoMode;
use testkit::oci::{Compression, Image, Layer};
use testkit::tar::{Entry, TarWriter};

use crate::support::{Scene, assert_same_lines};

/// Three layers with everything that layers do to each other and that `ostree` can follow.
fn layers() -> Vec<Vec<u8>> {
    let base = TarWriter::new()
        .dir("./", 0o755)
        .dir("etc", 0o755)
        .file("etc/kept", 0o644, "from the base")
        .file("etc/replaced", 0o600, "old")
        .file("etc/hostname", 0o644, "")
        .file("etc/resolv.conf", 0o644, "")
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .file("usr/lib/a", 0o644, "a")
        .file("usr/lib/b", 0o755, "b")
        .dir("usr/gone", 0o755)
        .file("usr/gone/x", 0o644, "x")
        .dir("usr/opaque", 0o700)
        .file("usr/opaque/below", 0o644, "below")
        .symlink("usr/link", "lib/a")
        .entry(&Entry::file("usr/suid", "s").mode(0o4755).owner(0, 10))
        .entry(
            &Entry::file("usr/capable", "c")
                .mode(0o755)
                .xattr("security.capability", CAPABILITY),
        )
        .dir("run", 0o755)
        .file("run/left-over", 0o644, "never stored")
        .finish();
    let middle = TarWriter::new()
        .dir("etc", 0o700)
        .file("etc/replaced", 0o644, "new")
        .dir("usr", 0o755)
        .file("usr/.wh.gone", 0o644, "")
        .dir("usr/lib", 0o755)
        .file("usr/lib/.wh.b", 0o644, "")
        .hardlink("usr/lib/a-again", "usr/link")
        .dir("usr/opaque", 0o755)
        .file("usr/opaque/.wh..wh..opq", 0o644, "")
        .file("usr/opaque/above", 0o644, "above")
        .finish();
    let top = TarWriter::new()
        .dir("usr", 0o755)
        .dir("usr/gone", 0o711)
        .file("usr/gone/y", 0o644, "y")
        .dir("var", 0o755)
        .file("var/content", 0o644, "kept")
        .finish();
    vec![base, middle, top]
}

/// `cap_net_raw=ep`, as the kernel stores it.
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn image(compression: Compression) -> Image {
    // The hard link into another layer is tested on its own: `ostree` has no counterpart for it.
    let image = Image::bootable();
    layers().into_iter().fold(image, |image, tar| {
        image.layer(Layer::new(tar).compression(compression))
    })
}

#[test]
fn merge_is_what_ostree_lays_together() {
    let mut scene = Scene::new();
    let base = Image::bootable();
    let tars = layers();
    let plain = tars
        .iter()
        .fold(base, |image, tar| image.layer(Layer::new(tar.clone())));
    let imported = scene.pull("v1", &plain).unwrap();
    let root = scene.dir.path().join("root");
    let root = root.to_str().unwrap();
    for layer in plain_layer_commits(&scene, &imported) {
        scene.ostree(&["checkout", "--union", "--whiteouts", &layer, root]);
    }
    // What the existing importer does beyond laying layers together.
    testkit::shell(&format!(
        "rm '{root}/usr/etc/hostname' '{root}/usr/etc/resolv.conf'"
    ));
    // The link into the lower layer, which `ostree` cannot know of.
    testkit::shell(&format!("cp -a '{root}/usr/link' '{root}/usr/lib/a-again'"));
    let tree = format!("--tree=dir={root}");
    let theirs = scene.ostree(&["commit", "--orphan", "-s", "", &tree]);
    let merged = imported.state.merge_commit.to_string();
    assert_same_lines(&scene.listing(&merged), &scene.listing(theirs.trim()));
    scene.assert_clean();
}

fn plain_layer_commits(scene: &Scene, imported: &image::Imported) -> Vec<String> {
    let digest = |layer: &oci::spec::Descriptor| layer.digest().to_string();
    let escaped = |digest: String| format!("ostree/container/blob/{}", digest.replace(':', "_3A_"));
    let layers = imported
        .state
        .manifest
        .layers()
        .iter()
        .map(digest)
        .map(escaped);
    layers
        .map(|name| scene.ostree(&["rev-parse", &name]).trim().to_owned())
        .collect()
}

#[test]
fn compression_makes_no_difference() {
    let mut commits = Vec::new();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut scene = Scene::new();
        let imported = scene.pull("v1", &image(compression)).unwrap();
        commits.push(scene.listing(&imported.state.merge_commit.to_string()));
        scene.assert_clean();
    }
    assert_same_lines(&commits[0], &commits[1]);
    assert_same_lines(&commits[0], &commits[2]);
}

#[test]
fn every_mode_gives_the_same_tree() {
    let mut listings = Vec::new();
    for mode in [RepoMode::Bare, RepoMode::BareUser, RepoMode::Archive] {
        let mut scene = Scene::with_mode(mode);
        let imported = scene.pull("v1", &image(Compression::Gzip)).unwrap();
        listings.push(scene.listing(&imported.state.merge_commit.to_string()));
        scene.assert_clean();
    }
    assert_same_lines(&listings[0], &listings[1]);
    assert_same_lines(&listings[0], &listings[2]);
}

#[test]
fn the_same_layer_under_another_digest_is_not_fetched() {
    let mut scene = Scene::new();
    scene.pull("gzip", &image(Compression::Gzip)).unwrap();
    let imported = scene.pull("zstd", &image(Compression::Zstd)).unwrap();
    assert_eq!((imported.layers_fetched, imported.bytes_fetched), (0, 0));
    // The layer has a ref under its new name, too, so that a collection keeps it.
    let refs = scene.ostree(&["refs", "--list", "ostree/container/blob"]);
    assert_eq!(refs.lines().count(), 6);
    scene.assert_clean();
}

#[test]
fn a_link_to_an_object_of_the_base_is_resolved() {
    // A derived layer may name an object of the base by its place in the base's repository.
    let mut scene = Scene::new();
    let lower = TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/file", 0o644, "content")
        .finish();
    let first = scene
        .pull("v1", &Image::bootable().layer(Layer::new(lower.clone())))
        .unwrap();
    let listing = scene.listing(&first.state.merge_commit.to_string());
    let line = listing
        .lines()
        .find(|line| line.ends_with("/usr/file"))
        .unwrap();
    let checksum = line
        .split_whitespace()
        .find(|word| word.len() == 64)
        .unwrap();
    let object = format!(
        "sysroot/ostree/repo/objects/{}/{}.file",
        &checksum[..2],
        &checksum[2..]
    );
    let upper = TarWriter::new()
        .dir("usr", 0o755)
        .hardlink("usr/again", object)
        .finish();
    let image = Image::bootable()
        .layer(Layer::new(lower))
        .layer(Layer::new(upper));
    let second = scene.pull("v2", &image).unwrap();
    let listing = scene.listing(&second.state.merge_commit.to_string());
    let again = listing
        .lines()
        .find(|line| line.ends_with("/usr/again"))
        .unwrap();
    assert!(again.contains(checksum), "{again}");
    scene.assert_clean();
}
