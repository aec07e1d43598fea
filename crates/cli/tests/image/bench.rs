//! A repository and images, and what is asked about them.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::{Entry, TarWriter};

use crate::support::{answer, assert_valid, bootroot, ostree, refusal};

/// A repository and a directory of images.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) images: LayoutBuilder,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        answer(&mut ostree(&format!(
            "init --mode=bare --repo={}",
            dir.path().join("repo").display()
        )));
        let mut images = LayoutBuilder::new(dir.path().join("images"));
        images.tag("v1", &version("1", "first"));
        images.tag("v2", &version("2", "second"));
        Self { dir, images }
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub(crate) fn image(&self, tag: &str) -> String {
        self.images.reference(tag)
    }

    pub(crate) fn run(&self, line: &str) -> Command {
        bootroot(&format!("--repo {} {line}", self.repo().display()))
    }

    /// The JSON answer of a verb, which must follow its schema.
    #[track_caller]
    pub(crate) fn json(&self, schema: &str, line: &str) -> Value {
        let value =
            serde_json::from_str(&answer(&mut self.run(&format!("{line} --json")))).unwrap();
        assert_valid(schema, &value);
        value
    }

    /// The real program finds nothing wrong.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        answer(&mut ostree(&format!(
            "fsck --quiet --repo={}",
            self.repo().display()
        )));
    }

    /// A refused pull leaves a sound repository without the image.
    #[track_caller]
    pub(crate) fn assert_refused(&self, line: &str, code: i32) -> String {
        let text = refusal(&mut self.run(line), code);
        self.assert_sound();
        assert_eq!(answer(&mut self.run("image list --quiet")), "");
        text
    }
}

pub(crate) fn layer(entries: &[Entry]) -> Layer {
    let tar = entries.iter().fold(TarWriter::new(), TarWriter::entry);
    Layer::new(tar.finish())
}

/// An image of two layers; the lower one is the same in all versions.
pub(crate) fn version(version: &str, content: &str) -> Image {
    let base = [
        Entry::dir("usr"),
        Entry::dir("usr/lib"),
        Entry::file("usr/lib/base", "base"),
        Entry::dir("etc"),
    ];
    Image::bootable()
        .label("org.opencontainers.image.version", version)
        .layer(layer(&base).created_by("base of all"))
        .layer(
            layer(&[Entry::dir("usr"), Entry::file("usr/version", content)]).created_by("version"),
        )
}

pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut noise = vec![0; size];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    noise
}
