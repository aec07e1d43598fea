//! A system that follows an image.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;

use super::sysroot::ScratchSysroot;
use super::{answer, assert_valid, bootroot, refusal};

/// A system that follows an image, and a place for newer images.
pub(crate) struct Host {
    dir: TempDir,
    pub(crate) sysroot: ScratchSysroot,
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
            sysroot: ScratchSysroot::empty(),
        };
        host.publish("latest", "1", &["quiet", "console=tty0"]);
        let image = host.image("latest");
        host.run(&format!(
            "deploy {image} --stateroot os --karg rw --karg quiet --karg console=tty0"
        ));
        host
    }

    /// Where the images are.
    pub(crate) fn images(&self) -> &Path {
        self.dir.path()
    }

    /// Let the tag be this image.
    pub(crate) fn publish_image(&self, tag: &str, image: &Image) {
        LayoutBuilder::new(self.dir.path()).tag(tag, image);
    }

    /// Let the tag be an image of this version, which brings kernel arguments along.
    pub(crate) fn publish(&self, tag: &str, version: &str, args: &[&str]) {
        self.publish_image(tag, &system(version, args));
    }

    pub(crate) fn image(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.dir.path().display())
    }

    pub(crate) fn line(&self, line: &str) -> String {
        format!("-q --sysroot {} {line}", self.sysroot.path().display())
    }

    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        answer(&mut bootroot(&self.line(line)))
    }

    #[track_caller]
    pub(crate) fn json(&self, schema: &str, line: &str) -> Value {
        let value = serde_json::from_str(&self.run(&format!("{line} --json"))).unwrap();
        assert_valid(schema, &value);
        value
    }

    #[track_caller]
    pub(crate) fn refused(&self, line: &str, code: i32) -> String {
        refusal(&mut bootroot(&self.line(line)), code)
    }

    /// What the boot loader offers, as the real program lists it: versions in order.
    pub(crate) fn versions(&self) -> Vec<String> {
        let status = self.sysroot.ostree("admin status --sysroot=.");
        let lines = status.lines().filter(|line| line.starts_with("  os "));
        lines
            .map(|line| {
                let name = line.split_whitespace().nth(1).unwrap();
                let root = self.sysroot.join("ostree/deploy/os/deploy").join(name);
                let text = fs::read_to_string(root.join("usr/lib/os-release")).unwrap();
                text.trim_start_matches("PRETTY_NAME=\"Small ")
                    .trim_end_matches("\"\n")
                    .to_owned()
            })
            .collect()
    }

    pub(crate) fn args(&self) -> String {
        self.run("kargs").trim_end().to_owned()
    }
}

/// A tree of this version with a kernel, as small as can be deployed.
pub(crate) fn tree(version: &str) -> TarWriter {
    TarWriter::new()
        .dir("etc", 0o755)
        .file("etc/version", 0o644, format!("{version}\n"))
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .file(
            "usr/lib/os-release",
            0o644,
            format!("PRETTY_NAME=\"Small {version}\"\n"),
        )
        .dir("usr/lib/modules", 0o755)
        .dir("usr/lib/modules/6.1", 0o755)
        .file(
            "usr/lib/modules/6.1/vmlinuz",
            0o644,
            format!("kernel {version}"),
        )
        .file("usr/lib/modules/6.1/initramfs.img", 0o644, "an initramfs")
}

/// An image of this version, which brings kernel arguments along.
pub(crate) fn system(version: &str, args: &[&str]) -> Image {
    let base = tree(version)
        .dir("usr/lib/bootc", 0o755)
        .dir("usr/lib/bootc/kargs.d", 0o755)
        .file(
            "usr/lib/bootc/kargs.d/10.toml",
            0o644,
            format!("kargs = {args:?}\n"),
        )
        .file(
            "usr/lib/bootc/kargs.d/20.toml",
            0o644,
            "kargs = [\"other=1\"]\nmatch-architectures = [\"s390x\"]\n",
        );
    let image = Image::bootable().label("org.opencontainers.image.version", version);
    image.layer(Layer::new(base.finish()))
}
