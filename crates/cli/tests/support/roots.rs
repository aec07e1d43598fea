//! Systems whose roots are images of composefs.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};

use super::host::tree;
use super::sysroot::ScratchSysroot;
use super::{answer, assert_valid, bootroot};

/// A system that follows an image.
pub(crate) struct System {
    pub(crate) images: TempDir,
    pub(crate) root: ScratchSysroot,
}

impl System {
    pub(crate) fn new() -> Self {
        let system = Self {
            images: tempfile::tempdir().unwrap(),
            root: ScratchSysroot::empty(),
        };
        system.publish("1", "quiet");
        let image = system.image();
        let args = "--karg root=LABEL=root --karg rw";
        system.run(&format!("deploy --composefs {image} {args}"));
        system
    }

    /// Let the image be of this version, which brings a kernel argument along.
    pub(crate) fn publish(&self, version: &str, arg: &str) {
        self.publish_with(version, arg, None);
    }

    /// The same, with one more layer.
    pub(crate) fn publish_with(&self, version: &str, arg: &str, more: Option<Layer>) {
        let kargs = format!("kargs = [\"{arg}\"]\n");
        let mut tree = tree(version)
            .dir("usr/lib/bootc", 0o755)
            .dir("usr/lib/bootc/kargs.d", 0o755)
            .file("usr/lib/bootc/kargs.d/10.toml", 0o644, kargs);
        for dir in ["boot", "proc", "dev", "run", "var", "sysroot"] {
            tree = tree.dir(dir, 0o755);
        }
        let image = Image::bootable().label("org.opencontainers.image.version", version);
        let image = image.layer(Layer::new(tree.finish()));
        let image = match more {
            Some(more) => image.layer(more),
            None => image,
        };
        LayoutBuilder::new(self.images.path()).tag("latest", &image);
    }

    pub(crate) fn image(&self) -> String {
        format!("oci:{}:latest", self.images.path().display())
    }

    pub(crate) fn line(&self, line: &str) -> String {
        format!("-q --sysroot {} {line}", self.root.path().display())
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

    /// The roots, what boots first before the others.
    pub(crate) fn roots(&self) -> Vec<String> {
        let status = self.json("status", "status");
        let roots = status["roots"].as_array().unwrap();
        let name = |root: &Value| root["root"].as_str().unwrap().to_owned();
        roots.iter().map(name).collect()
    }

    pub(crate) fn titles(&self) -> Vec<String> {
        let script = format!(
            "cd {}/boot/loader/entries; for f in $(ls -r); do sed -n 's/^title //p' $f; done",
            self.root.path().display()
        );
        testkit::shell(&script).lines().map(str::to_owned).collect()
    }

    pub(crate) fn etc(&self, root: &str, name: &str) -> PathBuf {
        self.root.join(&format!("state/deploy/{root}/etc/{name}"))
    }

    /// Runs a script after `setup-root` has mounted a root over a bind mount of the physical one, in a mount name space
    /// of its own. `conf` is the configuration file, `$1` is where the root is.
    pub(crate) fn set_up(&self, line: &str, conf: &str, script: &str) -> Output {
        let file = self.images.path().join("conf.toml");
        std::fs::write(&file, conf).unwrap();
        let whole = format!(
            "set -e; mount -t tmpfs none /run; mkdir /run/root; mount --bind {root} /run/root
             {bootroot} --sysroot /run/root setup-root --config {conf} --cmdline '{line}'
             set -- /run/root; {script}",
            root = self.root.path().display(),
            bootroot = env!("CARGO_BIN_EXE_bootroot"),
            conf = file.display(),
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "--propagation", "private", "bash", "-c", &whole]);
        unshare.output().unwrap()
    }
}
