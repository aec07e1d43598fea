//! A system that binds images, and a registry that has them.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use testkit::Registry;
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;

use crate::support::host::{Host, tree};
use crate::support::{answer, bootroot};

/// A registry with the images `app/web:1` and `app/db:1`, and a host that knows it.
pub(crate) struct Scene {
    pub(crate) registry: Registry,
    pub(crate) host: Host,
    pub(crate) dir: TempDir,
}

impl Scene {
    pub(crate) fn new(registry: Registry) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scene = Self {
            registry,
            host: Host::new(),
            dir,
        };
        scene.trust(&scene.registry.host());
        for name in ["web", "db"] {
            scene.push(name, name);
        }
        scene
    }

    /// Pushes an application whose only file has this text.
    pub(crate) fn push(&self, name: &str, text: impl AsRef<[u8]>) {
        let layer = TarWriter::new().file("app", 0o755, text);
        self.push_image(name, &Image::new().layer(Layer::new(layer.finish())));
    }

    /// Pushes an application with a layer for each text; the digests of their blobs.
    pub(crate) fn push_layers(&self, name: &str, texts: &[&str]) -> Vec<String> {
        let mut image = Image::new();
        let mut digests = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let layer = TarWriter::new().file(format!("file{number}"), 0o644, text);
            let layer = Layer::new(layer.finish());
            digests.push(layer.digest());
            image = image.layer(layer);
        }
        self.push_image(name, &image);
        digests
    }

    pub(crate) fn push_image(&self, name: &str, image: &Image) {
        let apps = self.dir.path().join(format!("{name}-image"));
        LayoutBuilder::new(&apps).tag("1", image);
        let source = format!("oci:{}:1", apps.display());
        self.registry.push(&source, &format!("app/{name}:1"));
    }

    /// Lets a registry be used that has no certificate.
    pub(crate) fn trust(&self, host: &str) {
        let conf = self.dir.path().join("registries.conf");
        let known = fs::read_to_string(&conf).unwrap_or_default();
        let more = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
        fs::write(conf, known + &more).unwrap();
    }

    /// The name of an application.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}/app/{name}:1", self.registry.host())
    }

    /// Publishes a system that binds what these units say.
    pub(crate) fn publish(&self, version: &str, units: &[(&str, String)]) {
        let units_dir = "usr/share/containers/systemd";
        let mut tree = tree(version)
            .dir("usr/lib/bootc", 0o755)
            .dir("usr/lib/bootc/bound-images.d", 0o755);
        for (name, text) in units {
            let link = format!("usr/lib/bootc/bound-images.d/{name}");
            tree = tree.symlink(link, format!("/{units_dir}/{name}")).file(
                format!("{units_dir}/{name}"),
                0o644,
                text,
            );
        }
        let image = Image::bootable().label("org.opencontainers.image.version", version);
        let image = image.layer(Layer::new(tree.finish()));
        self.host.publish_image("latest", &image);
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        self.command_at(self.host.sysroot.path(), line)
    }

    pub(crate) fn command_at(&self, root: &Path, line: &str) -> Command {
        let mut command = bootroot(&format!("-q --sysroot {} {line}", root.display()));
        let conf = self.dir.path().join("registries.conf");
        command.env("CONTAINERS_REGISTRIES_CONF", conf);
        command.env_remove("REGISTRY_AUTH_FILE");
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        answer(&mut self.command(line))
    }

    /// The names that the real podman finds in the store.
    pub(crate) fn found_by_podman(&self) -> Vec<String> {
        self.found_by_podman_in(&self.host.sysroot.join("ostree/bootc/storage"))
    }

    pub(crate) fn found_by_podman_in(&self, store: &Path) -> Vec<String> {
        if !store.exists() {
            return Vec::new();
        }
        let (own, run) = (self.dir.path().join("own"), self.dir.path().join("run"));
        let mut podman = testkit::command("podman");
        podman.arg("--root").arg(own).arg("--runroot").arg(run);
        podman.arg(format!(
            "--storage-opt=additionalimagestore={}",
            store.display()
        ));
        podman.args(["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        let mut names: Vec<_> = answer(&mut podman).lines().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }
}

pub(crate) fn image_unit(name: &str) -> String {
    format!("[Image]\nImage={name}\n")
}

pub(crate) fn container_unit(name: &str) -> String {
    format!("[Unit]\nDescription=a database\n[Container]\nImage={name}\n")
}
