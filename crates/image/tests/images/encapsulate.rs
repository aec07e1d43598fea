//! From commits to images and back, compared with images that ostree-ext made of the same commit.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use image::{
    Chunking, Compression, ContentMap, EncapsulateError, EncapsulateOptions, ImportOptions,
    UnencapsulateError, WrittenImage,
};
use layer::Packing;
use oci::archive::OciArchiveWriter;
use oci::layout::OciDirWriter;
use oci::platform::Platform;
use ostree::Repo;
use ostree_format::{Checksum, RepoMode};
use progress::{Interrupt, Silent};
use tempfile::TempDir;
use testkit::tar::TarWriter;

use crate::support::{Scene, assert_same_lines, open, unencapsulate};

/// A directory, and golden repositories to take commits from.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    fn base(&self) -> OwnedFd {
        File::open(self.dir.path()).unwrap().into()
    }

    /// Wrap `commit` of `repo` into the layout directory `name`.
    fn wrap(
        &self,
        repo: &Repo,
        commit: &Checksum,
        name: &str,
        options: &EncapsulateOptions,
    ) -> Result<WrittenImage, EncapsulateError> {
        let sink = Box::new(OciDirWriter::create(self.base().as_fd(), name).unwrap());
        image::encapsulate(
            repo,
            commit,
            sink,
            Some("t"),
            options,
            &Silent,
            &Interrupt::default(),
        )
    }

    fn reference(&self, name: &str) -> String {
        format!("oci:{}:t", self.dir.path().join(name).display())
    }

    /// A document of the image in the layout directory `name`.
    fn document(&self, name: &str, config: bool) -> serde_json::Value {
        let source = open(&self.reference(name)).unwrap();
        let manifest = source.manifest().unwrap().manifest;
        let bytes = match config {
            true => source.config(&manifest).unwrap().bytes().to_vec(),
            false => manifest.bytes().to_vec(),
        };
        serde_json::from_slice(&bytes).unwrap()
    }
}

fn golden_repo(mode: &str) -> Repo {
    let base: OwnedFd = File::open(testkit::golden("repos")).unwrap().into();
    Repo::open_at(base.as_fd(), Path::new(mode)).unwrap()
}

fn golden_commit() -> Checksum {
    let text = fs::read_to_string(testkit::golden("expect").join("bare.v1.rev")).unwrap();
    text.trim().parse().unwrap()
}

/// A document of an image that ostree-ext made.
fn theirs(image: &str, config: bool) -> serde_json::Value {
    let source = open(&golden_reference(image)).unwrap();
    let manifest = source.manifest().unwrap().manifest;
    let bytes = match config {
        true => source.config(&manifest).unwrap().bytes().to_vec(),
        false => manifest.bytes().to_vec(),
    };
    serde_json::from_slice(&bytes).unwrap()
}

/// As the images were made that are compared with: theirs has no attributes in archives yet.
fn as_golden() -> EncapsulateOptions {
    let mut options = EncapsulateOptions::default();
    options.layers.entry_xattrs = false;
    options.platform = Platform::linux("amd64");
    options
}

fn golden_reference(image: &str) -> String {
    format!("oci:{}", testkit::golden("oci").join(image).display())
}

/// Entry for entry, as a reader of archives sees them. Theirs are not compared byte for byte, because
/// their headers have remains of earlier names behind the names.
fn assert_same_layer(ours: &str, theirs: &str, index: usize) {
    let (ours, theirs) = (entries(ours, index), entries(theirs, index));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "layer {index}");
    }
    assert_eq!(ours.len(), theirs.len(), "layer {index}");
}

fn entries(reference: &str, index: usize) -> Vec<String> {
    let source = open(reference).unwrap();
    let manifest = source.manifest().unwrap().manifest;
    let layer = &manifest.manifest().layers()[index];
    let blob = source.open_blob(layer, 0).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob));
    let entries = archive.entries().unwrap();
    entries.map(|entry| describe(entry.unwrap())).collect()
}

fn describe(mut entry: tar::Entry<'_, impl std::io::Read>) -> String {
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
    let header = entry.header();
    let path = entry.path_bytes();
    let path = path.strip_prefix(b"./").unwrap_or(&path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    format!(
        "{} {:?} {:o} {}:{} {} {} {}",
        path.escape_ascii(),
        header.entry_type(),
        header.mode().unwrap(),
        header.uid().unwrap(),
        header.gid().unwrap(),
        header.mtime().unwrap(),
        entry.link_name_bytes().unwrap_or_default().escape_ascii(),
        Checksum::of(&content),
    )
}

fn content_map() -> Chunking {
    let map = fs::read(testkit::golden("oci").join("contentmeta.json")).unwrap();
    Chunking::Map(ContentMap::from_json(&map).unwrap())
}

fn unwrap_into(mode: RepoMode, reference: &str) -> (Scene, Checksum) {
    let scene = Scene::with_mode(mode);
    let source = open(reference).unwrap();
    let name = Some("unwrapped".parse().unwrap());
    let result = unencapsulate(&scene.repo, &*source, name);
    (scene, result.unwrap().commit)
}

#[test]
fn a_single_layer_is_the_one_that_ostree_ext_makes() {
    let bench = Bench::new();
    let (repo, commit) = (golden_repo("bare"), golden_commit());
    let mut options = as_golden();
    options.copy_meta = vec!["version".to_owned(), "golden".to_owned()];
    options.copy_meta.retain(|key| {
        repo.load_commit(&commit)
            .unwrap()
            .metadata
            .get(key)
            .is_some()
    });
    bench.wrap(&repo, &commit, "image", &options).unwrap();
    let (ours, theirs) = (bench.document("image", true), theirs("encap-v1", true));
    assert_same_layer(&bench.reference("image"), &golden_reference("encap-v1"), 0);
    for key in ["architecture", "os", "created"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    for key in [
        "containers.bootc",
        "ostree.bootable",
        "ostree.commit",
        "ostree.linux",
        "org.opencontainers.image.version",
    ] {
        assert_eq!(
            ours["config"]["Labels"][key], theirs["config"]["Labels"][key],
            "{key}"
        );
    }
    assert_eq!(
        ours["history"][0]["created_by"],
        theirs["history"][0]["created_by"]
    );
}

#[test]
fn chunks_are_those_that_ostree_ext_makes_of_the_same_map() {
    let bench = Bench::new();
    let mut options = as_golden();
    options.chunking = content_map();
    bench
        .wrap(&golden_repo("bare"), &golden_commit(), "image", &options)
        .unwrap();
    let (ours, theirs_config) = (bench.document("image", true), theirs("chunked-v1", true));
    // The last of theirs is empty, for packages to come.
    assert_eq!(ours["rootfs"]["diff_ids"].as_array().unwrap().len(), 5);
    for at in 0..5 {
        assert_same_layer(
            &bench.reference("image"),
            &golden_reference("chunked-v1"),
            at,
        );
    }
    let mut labels = theirs_config["config"]["Labels"].clone();
    labels["ostree.final-diffid"] = ours["rootfs"]["diff_ids"][4].clone();
    assert_eq!(ours["config"]["Labels"], labels);
    let (ours, theirs) = (bench.document("image", false), theirs("chunked-v1", false));
    for at in 0..5 {
        assert_eq!(
            ours["layers"][at]["annotations"], theirs["layers"][at]["annotations"],
            "{at}"
        );
    }
    assert_eq!(ours["annotations"], labels);
}

#[test]
fn what_was_wrapped_comes_out_of_every_mode_and_form() {
    let commit = golden_commit();
    let packings = [Packing::GZIP_FAST, Packing::ZSTD, Packing::Plain];
    let modes = [
        ("bare", RepoMode::Bare),
        ("bare-user", RepoMode::Archive),
        ("archive", RepoMode::BareUser),
    ];
    for ((from, to), packing) in modes.into_iter().zip(packings) {
        for chunking in [Chunking::Single, Chunking::Paths, content_map()] {
            let bench = Bench::new();
            let mut options = EncapsulateOptions::default();
            options.chunking = chunking;
            options.compression = Compression {
                packing,
                threads: 2,
            };
            bench
                .wrap(&golden_repo(from), &commit, "image", &options)
                .unwrap();
            let (scene, found) = unwrap_into(to, &bench.reference("image"));
            assert_eq!(found, commit, "{from} to {to}");
            assert_eq!(
                scene.ostree(&["rev-parse", "unwrapped"]).trim(),
                commit.to_string()
            );
            assert_same_lines(
                &scene.listing("unwrapped"),
                &fs::read_to_string(testkit::golden("expect").join("bare.v1.ls")).unwrap(),
            );
            // Nothing is kept of the image itself.
            assert_eq!(scene.ostree(&["refs"]).trim(), "unwrapped");
            scene.assert_clean();
        }
    }
}

#[test]
fn the_same_commit_gives_the_same_bytes() {
    for packing in [Packing::GZIP, Packing::ZSTD] {
        let bench = Bench::new();
        let mut digests = Vec::new();
        for (at, (mode, threads)) in [("bare", 1), ("bare", 4), ("archive", 2)]
            .into_iter()
            .enumerate()
        {
            let mut options = EncapsulateOptions::default();
            options.chunking = Chunking::Paths;
            options.compression = Compression { packing, threads };
            let repo = golden_repo(mode);
            let image = bench
                .wrap(&repo, &golden_commit(), &format!("{at}"), &options)
                .unwrap();
            digests.push(image.digest);
        }
        digests.dedup();
        assert_eq!(digests.len(), 1);
    }
}

#[test]
fn an_archive_holds_the_same_image() {
    let bench = Bench::new();
    let options = EncapsulateOptions::default();
    let (repo, commit) = (golden_repo("bare"), golden_commit());
    let image = bench.wrap(&repo, &commit, "image", &options).unwrap();
    let sink = Box::new(OciArchiveWriter::create(bench.base().as_fd(), "image.tar").unwrap());
    let interrupt = Interrupt::default();
    let packed = image::encapsulate(&repo, &commit, sink, None, &options, &Silent, &interrupt);
    assert_eq!(packed.unwrap().digest, image.digest);
    let archive = format!(
        "oci-archive:{}",
        bench.dir.path().join("image.tar").display()
    );
    assert_eq!(unwrap_into(RepoMode::Bare, &archive).1, commit);
    // Somebody else reads it, too.
    let digest = testkit::stdout(testkit::command("skopeo").args([
        "inspect",
        "--format={{.Digest}}",
        &archive,
    ]));
    assert_eq!(digest.trim(), image.digest);
}

#[test]
fn at_most_so_many_layers_and_the_kernel_alone() {
    let bench = Bench::new();
    let mut options = EncapsulateOptions::default();
    options.chunking = Chunking::Paths;
    options.max_layers = 6;
    let image = bench
        .wrap(&golden_repo("bare"), &golden_commit(), "image", &options)
        .unwrap();
    assert!(image.layers.len() <= 6, "{image:?}");
    let titles: Vec<_> = image
        .layers
        .iter()
        .map(|layer| layer.title.as_str())
        .collect();
    assert!(
        titles.contains(&"kernel") && titles.contains(&"initramfs"),
        "{titles:?}"
    );
    options.max_layers = 1;
    let image = bench
        .wrap(&golden_repo("bare"), &golden_commit(), "one", &options)
        .unwrap();
    assert_eq!(image.layers.len(), 1);
}

#[test]
fn an_update_keeps_the_layers_that_did_not_change() {
    let bench = Bench::new();
    let repo = golden_repo("bare");
    let next = fs::read_to_string(testkit::golden("expect").join("bare.v2.rev")).unwrap();
    let next: Checksum = next.trim().parse().unwrap();
    let mut options = EncapsulateOptions::default();
    options.chunking = Chunking::Paths;
    options.max_layers = 8;
    bench.wrap(&repo, &golden_commit(), "v1", &options).unwrap();
    let prior = open(&bench.reference("v1"))
        .unwrap()
        .manifest()
        .unwrap()
        .manifest;
    options.prior = Some(prior.manifest().clone());
    bench.wrap(&repo, &next, "v2", &options).unwrap();
    let after = open(&bench.reference("v2"))
        .unwrap()
        .manifest()
        .unwrap()
        .manifest;
    let diff = image::ManifestDiff::new(prior.manifest(), after.manifest());
    let changed: Vec<_> = diff
        .added
        .iter()
        .filter_map(|layer| layer.annotations().clone())
        .collect();
    // The kernel is the same in both.
    assert!(
        !changed.iter().any(|a| a["ostree.components"] == "kernel"),
        "{changed:?}"
    );
    assert!(diff.total_kept().count > 1, "{diff:?}");
}

#[test]
fn what_cannot_be_copied_is_refused_before_anything_is_written() {
    let bench = Bench::new();
    let mut options = EncapsulateOptions::default();
    options.copy_meta = vec!["no.such.key".to_owned()];
    let refused = bench.wrap(&golden_repo("bare"), &golden_commit(), "image", &options);
    assert!(
        matches!(refused, Err(EncapsulateError::NoMetadata { .. })),
        "{refused:?}"
    );
    options.copy_meta = vec!["ostree.bootable".to_owned()];
    let refused = bench.wrap(&golden_repo("bare"), &golden_commit(), "image", &options);
    assert!(
        matches!(refused, Err(EncapsulateError::MetadataType { .. })),
        "{refused:?}"
    );
    options.copy_meta = Vec::new();
    options.created = Some("yesterday".to_owned());
    let refused = bench.wrap(&golden_repo("bare"), &golden_commit(), "image", &options);
    assert!(
        matches!(refused, Err(EncapsulateError::Created(_))),
        "{refused:?}"
    );
    assert!(!bench.dir.path().join("image/index.json").exists());
    assert_eq!(
        fs::read_dir(bench.dir.path().join("image/blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_damaged_object_does_not_get_into_an_image() {
    let bench = Bench::new();
    let copy = testkit::golden_copy("repos");
    let base: OwnedFd = File::open(copy.path()).unwrap().into();
    let repo = Repo::open_at(base.as_fd(), Path::new("bare")).unwrap();
    let objects = testkit::shell(&format!(
        "find {}/bare/objects -name '*.file' -type f -size +3k | sort | head -1",
        copy.path().display()
    ));
    let mut bytes = fs::read(objects.trim()).unwrap();
    bytes[0] ^= 1;
    fs::write(objects.trim(), bytes).unwrap();
    let failed = bench.wrap(
        &repo,
        &golden_commit(),
        "image",
        &EncapsulateOptions::default(),
    );
    assert!(failed.unwrap_err().to_string().contains("is damaged"));
    assert!(!bench.dir.path().join("image/index.json").exists());
}

#[test]
fn layers_above_the_commit_are_not_lost_unseen() {
    let bench = Bench::new();
    let mut scene = Scene::new();
    scene.layout.tag(
        "plain",
        &testkit::oci::Image::bootable().layer(testkit::oci::Layer::new(
            TarWriter::new().dir("usr", 0o755).finish(),
        )),
    );
    let source = open(&scene.layout.reference("plain")).unwrap();
    let refused = unencapsulate(&scene.repo, &*source, None);
    assert!(
        matches!(refused, Err(UnencapsulateError::NotEncapsulated(_))),
        "{refused:?}"
    );
    drop(bench);
}

#[test]
fn detached_metadata_is_replaced_and_nothing_else() {
    let bench = Bench::new();
    let mut options = EncapsulateOptions::default();
    options.chunking = Chunking::Paths;
    let before = bench
        .wrap(&golden_repo("bare"), &golden_commit(), "image", &options)
        .unwrap();
    let mut metadata = ostree_format::Metadata::new();
    metadata.insert("test.key", "value");
    let bytes = metadata.to_bytes();
    for (name, detached) in [("with", Some(bytes.as_slice())), ("without", None)] {
        let sink = Box::new(OciDirWriter::create(bench.base().as_fd(), name).unwrap());
        let source = open(&bench.reference("image")).unwrap();
        let after = image::update_detached_metadata(
            &*source,
            sink,
            Some("t"),
            detached,
            Compression::default(),
            &Silent,
            &Interrupt::default(),
        )
        .unwrap();
        for (old, new) in before.layers.iter().zip(&after.layers).skip(1) {
            assert_eq!(old.digest, new.digest);
        }
        assert_ne!(before.layers[0].diff_id, after.layers[0].diff_id);
        let (scene, commit) = unwrap_into(RepoMode::Bare, &bench.reference(name));
        assert_eq!(commit, golden_commit());
        let found = scene.repo.load_detached_metadata(&commit).unwrap();
        assert_eq!(found.is_some(), detached.is_some());
        assert_eq!(
            found.unwrap_or_default().get_str("test.key"),
            detached.map(|_| "value")
        );
        let (old, new) = (bench.document("image", true), bench.document(name, true));
        assert_eq!(old["config"], new["config"]);
        assert_eq!(old["created"], new["created"]);
        scene.assert_clean();
    }
    let source = open(&bench.reference("image")).unwrap();
    let sink = Box::new(OciDirWriter::create(bench.base().as_fd(), "bad").unwrap());
    let garbage = image::update_detached_metadata(
        &*source,
        sink,
        None,
        Some(&[1, 2, 3]),
        Compression::default(),
        &Silent,
        &Interrupt::default(),
    );
    assert!(
        matches!(garbage, Err(image::UpdateDetachedError::Metadata(_))),
        "{garbage:?}"
    );
}

/// A chunked image with a layer above, stored.
fn derived(scene: &Scene) -> image::Imported {
    let bench = Bench::new();
    let mut options = EncapsulateOptions::default();
    options.chunking = content_map();
    bench
        .wrap(&golden_repo("bare"), &golden_commit(), "image", &options)
        .unwrap();
    scene
        .pull_reference(&bench.reference("image"), &ImportOptions::default())
        .unwrap()
}

#[test]
fn an_exported_image_is_the_one_that_was_stored() {
    let bench = Bench::new();
    let scene = Scene::new();
    let stored = derived(&scene);
    let (name, _) = image::list_images(&scene.repo).unwrap().pop().unwrap();
    let sink = Box::new(OciDirWriter::create(bench.base().as_fd(), "image").unwrap());
    let exported = image::export(
        &scene.repo,
        &name,
        sink,
        Some("t"),
        &image::ExportToOCIOpts::default(),
        &Silent,
        &Interrupt::default(),
    )
    .unwrap();
    // Archives and compression are our own, so here even the digests are the same.
    let layers: Vec<_> = exported
        .layers
        .iter()
        .map(|layer| layer.digest.clone())
        .collect();
    let before: Vec<_> = stored
        .state
        .manifest
        .layers()
        .iter()
        .map(|layer| layer.digest().to_string())
        .collect();
    assert_eq!(layers, before);
    assert_eq!(exported.digest, stored.state.manifest_digest.to_string());
}
