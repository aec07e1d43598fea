//! Images in the storage of podman and its kin, read without another program.

use std::fs;
use std::path::PathBuf;

use containers::config::Config;
use error_class::{Classified, ErrorClass};
use oci::context::Context;
use oci::source::{ImageSource, open};
use tempfile::TempDir;
use testkit::oci::{Compression, Image, Layer, LayoutBuilder};
use testkit::tar::{Entry, TarWriter};

use crate::scene::{blob, context, read_all, read_error, skopeo, source, tar};

/// A storage that skopeo put an image into, `localhost/os:1`.
struct Storage {
    dir: TempDir,
}

impl Drop for Storage {
    fn drop(&mut self) {
        // skopeo leaves it.
        let mounted = self.path("storage").join("overlay");
        if testkit::disk::is_mounted(&mounted) {
            let _ = testkit::command("umount").arg(mounted).status();
        }
    }
}

impl Storage {
    fn with(image: &Image) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = LayoutBuilder::new(dir.path().join("image"));
        layout.tag("1", image);
        let storage = Self { dir };
        let from = format!("oci:{}:1", storage.path("image").display());
        skopeo(&["copy", "--quiet", &from, &storage.name("localhost/os:1")]);
        storage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn name(&self, image: &str) -> String {
        let (root, run) = (self.path("storage"), self.path("run"));
        let (root, run) = (root.display(), run.display());
        format!("containers-storage:[overlay@{root}+{run}]{image}")
    }

    fn source(&self, image: &str) -> Box<dyn ImageSource> {
        open(&self.name(image).parse().unwrap(), &native()).unwrap()
    }

    /// The digests of all that skopeo copies.
    fn by_skopeo(&self) -> Vec<String> {
        let copy = format!("oci:{}:1", self.path("copy").display());
        skopeo(&[
            "copy",
            "--quiet",
            "--dest-oci-accept-uncompressed-layers",
            &self.name("localhost/os:1"),
            &copy,
        ]);
        let digests = read_all(&*source(&copy)).into_iter();
        digests.map(|digest| digest.to_string()).collect()
    }
}

/// There is no place for a copy, so that skopeo cannot be used unnoticed.
fn native() -> Context {
    let mut context = context();
    context.storage = Some(Config::default());
    context
}

/// All that archives of layers may hold, and files of many sizes around buffers and blocks.
fn odd_layer() -> Vec<u8> {
    let long = format!("dir/{}/{}", "x".repeat(90), "y".repeat(120));
    let sizes = [0, 1, 511, 512, 513, 8191, 8192, 65536, 1_000_003];
    let start = TarWriter::new()
        .dir("dir", 0o755)
        .entry(&Entry::dir("dir/sub").mode(0o1700).owner(7, 8))
        .entry(&Entry::symlink("dir/link", "sub"))
        .entry(&Entry::file("dir/link/through", "behind a link"))
        .entry(&Entry::file(&long, "a long name").mode(0))
        .entry(&Entry::file(b"dir/not-\xff-utf8".as_slice(), "bytes"))
        .entry(&Entry::file("dir/attribute", "x").xattr("user.a", "b"))
        .entry(&Entry::hardlink("dir/hard", "dir/attribute"))
        .entry(&Entry::file("dir/.wh.gone", ""))
        .entry(&Entry::fifo("dir/fifo"));
    let files = sizes.into_iter();
    let all = files.fold(start, |tar, size| {
        tar.file(format!("dir/{size}"), 0o644, "z".repeat(size))
    });
    all.finish()
}

#[test]
fn what_was_unpacked_becomes_the_same_archives_again() {
    let layers = [
        Layer::new(tar("dir/gone", "for the next layer to remove")),
        Layer::new(odd_layer()).compression(Compression::Zstd),
        Layer::new(tar("third", "<&>")).compression(Compression::None),
    ];
    let diff_ids: Vec<_> = layers.iter().map(Layer::diff_id).collect();
    let image = layers.into_iter().fold(Image::new(), Image::layer);
    let storage = Storage::with(&image);
    let source = storage.source("localhost/os:1");
    let digests = read_all(&*source).into_iter();
    let digests: Vec<_> = digests.map(|digest| digest.to_string()).collect();
    assert_eq!(digests[2..], diff_ids);
    let theirs = storage.by_skopeo();
    assert_eq!(digests[1..], theirs[1..]);

    // In the middle of a layer, as when a fetch is continued.
    let manifest = source.manifest().unwrap().manifest;
    let large = &manifest.layers()[1];
    let rest = blob(&*source, &large.descriptor, 1_000_001);
    assert_eq!(rest, odd_layer()[1_000_001..]);
    // By its number.
    let id = manifest.manifest().config().digest().digest().to_owned();
    let by_id = storage.source(&format!("@{id}"));
    assert_eq!(
        by_id.top().unwrap().digest(),
        source.top().unwrap().digest()
    );
}

/// As skopeo 1.22 writes it. Debian's 1.9 forgets annotations of layers and calls compressed what it has
/// unpacked.
#[test]
fn the_manifest_is_the_one_that_skopeo_writes() {
    let content = tar("file", "content");
    let size = content.len();
    let layer = Layer::new(content).annotation("org.example", "<b> & c");
    let diff_id = layer.diff_id();
    let image = Image::new()
        .layer(layer)
        .annotation("b", "2")
        .annotation("a", "1");
    let storage = Storage::with(&image);
    let source = storage.source("localhost/os:1");
    let top = source.top().unwrap();
    let manifest = source.manifest().unwrap().manifest;
    let config = manifest.manifest().config();
    let (digest, length) = (config.digest(), config.size());
    let kind = "application/vnd.oci.image";
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","config":{{"mediaType":"{kind}.config.v1+json","digest":"{digest}","size":{length}}},"layers":[{{"mediaType":"{kind}.layer.v1.tar","digest":"{diff_id}","size":{size},"annotations":{{"org.example":"\u003cb\u003e \u0026 c"}}}}],"annotations":{{"a":"1","b":"2"}}}}"#
    );
    assert_eq!(std::str::from_utf8(top.bytes()).unwrap(), expected);

    // Where nothing is unpacked, nothing changes.
    let plain = Layer::new(tar("file", "content")).compression(Compression::None);
    let storage = Storage::with(&Image::new().layer(plain));
    let here = storage.source("localhost/os:1").top().unwrap();
    let before = format!("oci:{}:1", storage.path("image").display());
    assert_eq!(
        here.bytes(),
        crate::scene::source(&before).top().unwrap().bytes()
    );
}

#[test]
fn images_may_be_in_a_storage_beside() {
    let storage = Storage::with(&Image::new().layer(Layer::new(tar("file", "content"))));
    let mut context = native();
    context.storage = Some(Config {
        graph_root: storage.path("nothing"),
        additional: vec![storage.path("storage")],
        ..Config::default()
    });
    let name = "containers-storage:localhost/os:1".parse().unwrap();
    assert_eq!(read_all(&*open(&name, &context).unwrap()).len(), 3);
    // Another driver is left to skopeo, which has no place to put the image here.
    context.storage.as_mut().unwrap().driver = "btrfs".to_owned();
    let error = open(&name, &context).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported, "{error}");
}

#[test]
fn layers_whose_files_have_changed_are_refused() {
    let storage = Storage::with(&Image::new().layer(Layer::new(odd_layer())));
    let layers = fs::read_dir(storage.path("storage/overlay")).unwrap();
    let mut layers = layers.map(|entry| entry.unwrap().path().join("diff/dir"));
    let files = layers.find(|path| path.is_dir()).unwrap();
    let file = files.join("8192");
    let damage: [(&dyn Fn(), ErrorClass); 3] = [
        (
            &|| fs::write(&file, "y".repeat(8192)).unwrap(),
            ErrorClass::Corrupt,
        ),
        (&|| fs::write(&file, "short").unwrap(), ErrorClass::Corrupt),
        (&|| fs::remove_file(&file).unwrap(), ErrorClass::NotFound),
    ];
    for (change, class) in damage {
        change();
        let error = read_error(&*storage.source("localhost/os:1"));
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().contains("localhost/os:1"), "{error}");
    }
}
