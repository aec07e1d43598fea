//! What goes wrong with bound images: at the registry, on the way, on the disk, and afterwards.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::disk::scratch_fs;
use testkit::oci::{Image, Layer};
use testkit::tar::TarWriter;
use testkit::{FaultProxy, Registry};

use crate::scene::{Scene, image_unit};
use crate::support::host::tree;
use crate::support::refusal;

/// Bytes that nothing makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend_from_slice(&(state ^ state >> 29).to_le_bytes()[3..]);
    }
    bytes.truncate(length);
    bytes
}

impl Scene {
    fn store(&self) -> PathBuf {
        self.host.sysroot.join("ostree/bootc/storage")
    }

    /// The only file of this name in the layers of the store.
    #[track_caller]
    fn stored(&self, name: &str) -> PathBuf {
        let layers = fs::read_dir(self.store().join("overlay")).unwrap();
        let files = layers.map(|layer| layer.unwrap().path().join("diff").join(name));
        let mut files: Vec<_> = files.filter(|path| path.exists()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    /// A system that binds one image, upgraded to.
    fn bound(text: &str) -> Self {
        let scene = Self::new(Registry::start());
        scene.push("web", text);
        scene.publish("2", &[("web.image", image_unit(&scene.name("web")))]);
        scene.run("upgrade");
        scene
    }

    fn bound_digests(&self) -> Vec<String> {
        let list: Value = serde_json::from_str(&self.run("image list --json")).unwrap();
        let bound = list["bound"].as_array().unwrap().iter();
        bound
            .map(|one| one["digest"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn a_damaged_layer_is_refused() {
    let scene = Scene::new(Registry::start());
    let digest = scene.push_layers("web", &["web"]).remove(0);
    let blob = scene.registry.blob(&digest);
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, bytes).unwrap();
    scene.publish("2", &[("web.image", image_unit(&scene.name("web")))]);
    let said = refusal(&mut scene.command("upgrade"), 4);
    assert!(said.contains("nothing was staged"), "{said}");
    assert_eq!(scene.host.versions(), ["1"]);
    assert_eq!(scene.found_by_podman(), Vec::<String>::new());
}

#[test]
fn connections_that_are_cut_are_continued() {
    let scene = Scene::new(Registry::start());
    let text = noise(3_000_000);
    scene.push("web", &text);
    let proxy = FaultProxy::start(&scene.registry.host());
    scene.trust(&proxy.host());
    let name = format!("{}/app/web:1", proxy.host());
    scene.publish("2", &[("web.image", image_unit(&name))]);
    proxy.cut_every(900_000);
    scene.run("upgrade");
    assert!(proxy.cuts() > 0);
    assert_eq!(scene.found_by_podman(), [name]);
    assert_eq!(fs::read(scene.stored("app")).unwrap(), text);
}

#[test]
fn without_room_nothing_is_deployed() {
    let scene = Scene::new(Registry::start());
    let disk = scratch_fs(12 << 20);
    symlink(disk.path(), scene.host.sysroot.join("ostree/bootc")).unwrap();
    let name = scene.name("web");
    let binds = [("web.image", image_unit(&name))];
    // Refused before it is fetched, and where only writing tells.
    for (content, expected) in [
        (noise(13 << 20), "bytes are free"),
        (vec![0; 20 << 20], "space"),
    ] {
        scene.push("web", &content);
        scene.publish("2", &binds);
        let said = refusal(&mut scene.command("upgrade"), 7);
        assert!(said.contains(expected), "{said}");
        assert_eq!(scene.host.versions(), ["1"]);
        assert_eq!(scene.found_by_podman(), Vec::<String>::new());
    }
    scene.push("web", "small");
    scene.run("upgrade");
    assert_eq!(scene.found_by_podman(), [name]);
    scene.run("fsck");
}

#[test]
fn a_tag_that_moved_is_asked_for_again() {
    let scene = Scene::bound("old");
    let name = scene.name("web");
    let old = scene.bound_digests();
    scene.push("web", "new");
    // Nothing is newer of the system: what it binds stays what it was.
    scene.run("upgrade");
    assert_eq!(scene.bound_digests(), old);
    scene.publish("3", &[("web.image", image_unit(&name))]);
    scene.run("upgrade");
    let both = scene.bound_digests();
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both.contains(&old[0]));
    // By its name it is the newer one; the older one is there for the system before.
    scene.publish("4", &[("web.image", image_unit(&name))]);
    scene.run("upgrade");
    assert_eq!(scene.bound_digests().len(), 1);
    assert_eq!(fs::read_to_string(scene.stored("app")).unwrap(), "new");
    assert_eq!(scene.found_by_podman(), [name]);
}

#[test]
fn damage_is_found_and_mended() {
    let scene = Scene::bound("what it contains");
    let name = scene.name("web");
    scene.run("fsck");
    let app = scene.stored("app");
    let layer = app.parent().unwrap().parent().unwrap().to_owned();
    let link = fs::read_to_string(layer.join("link")).unwrap();
    let images = scene.store().join("overlay-images/images.json");
    let layers = scene.store().join("overlay-layers/layers.json");
    let damage: [(&str, &dyn Fn()); 6] = [
        ("layer", &|| fs::write(&app, "what is contained").unwrap()),
        ("layer", &|| fs::remove_file(&app).unwrap()),
        ("layer", &|| fs::remove_dir_all(&layer).unwrap()),
        ("leads", &|| {
            let link = scene.store().join("overlay/l").join(&link);
            fs::remove_file(&link).unwrap();
            symlink("../elsewhere/diff", link).unwrap();
        }),
        ("images.json", &|| fs::write(&images, "[{").unwrap()),
        ("layers.json", &|| fs::write(&layers, "nothing").unwrap()),
    ];
    for (expected, change) in damage {
        change();
        let mut fsck = scene.command("fsck");
        let found = fsck.output().unwrap();
        let said = String::from_utf8(found.stdout).unwrap();
        assert_eq!(found.status.code(), Some(4), "{said}");
        assert!(
            said.contains("containers: ") && said.contains(expected),
            "{said}"
        );
        scene.run("status");
        let said = scene.run("fsck --repair");
        assert!(said.contains("mended: containers: "), "{said}");
        scene.run("fsck");
        assert_eq!(
            fs::read_to_string(scene.stored("app")).unwrap(),
            "what it contains"
        );
        assert_eq!(scene.found_by_podman(), std::slice::from_ref(&name));
    }
    // What is gone everywhere is told, and the rest goes on.
    fs::remove_file(scene.stored("app")).unwrap();
    fs::remove_dir_all(scene.registry.storage()).unwrap();
    let mut repair = scene.command("fsck --repair");
    assert_eq!(repair.output().unwrap().status.code(), Some(4));
    scene.run("status");
}

#[test]
fn what_it_takes_is_counted() {
    let scene = Scene::bound(&"x".repeat(2_000_000));
    let table = scene.run("storage du");
    let mut lines = table.lines();
    let ours = lines.find(|line| line.starts_with("containers: "));
    let (_, sizes) = ours.unwrap().split_once(": ").unwrap();
    let (bytes, unique) = sizes.split_once(", ").unwrap();
    // Nothing else has any of it.
    assert_eq!(unique, format!("{bytes} of them nowhere else"));
    assert!(bytes.contains("MiB"), "{table}");
}

/// The tree of a system with a policy of SELinux.
pub(crate) fn with_policy(tree: TarWriter) -> TarWriter {
    let contexts = "/.* system_u:object_r:default_t:s0\n\
        /var/lib/containers(/.*)? system_u:object_r:container_var_lib_t:s0\n\
        /var/lib/containers/storage/overlay(/.*)? system_u:object_r:container_ro_file_t:s0\n";
    let config = "SELINUX=enforcing\nSELINUXTYPE=small\n";
    let place = "etc/selinux/small/contexts/files/file_contexts";
    let dirs = ["", "/small", "/small/contexts", "/small/contexts/files"];
    let tree = dirs.iter().fold(tree, |tree, dir| {
        tree.dir(format!("etc/selinux{dir}"), 0o755)
    });
    tree.file("etc/selinux/config", 0o644, config)
        .file(place, 0o644, contexts)
}

pub(crate) fn label_of(path: &Path) -> String {
    let mut value = [0; 256];
    let length = rustix::fs::lgetxattr(path, "security.selinux", &mut value[..]);
    let length = length.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8(value[..length].to_vec()).unwrap()
}

#[test]
fn files_have_the_labels_of_the_policy() {
    let scene = Scene::new(Registry::start());
    let unit = image_unit(&scene.name("web"));
    let tree = with_policy(tree("2"))
        .symlink(
            "usr/lib/bootc/bound-images.d/web.image",
            "/usr/share/web.image",
        )
        .file("usr/share/web.image", 0o644, unit);
    let image = Image::bootable().layer(Layer::new(tree.finish()));
    scene.host.publish_image("latest", &image);
    scene.run("upgrade");
    let app = scene.stored("app");
    let layer = app.parent().unwrap().parent().unwrap();
    for (path, expected) in [
        (app.clone(), "container_ro_file_t"),
        (layer.join("diff"), "container_ro_file_t"),
        (layer.join("link"), "container_ro_file_t"),
        (
            scene.store().join("overlay-images/images.lock"),
            "container_var_lib_t",
        ),
        (
            scene.store().join("overlay-images/images.json"),
            "container_var_lib_t",
        ),
    ] {
        let expected = format!("system_u:object_r:{expected}:s0\0");
        assert_eq!(label_of(&path), expected, "{}", path.display());
    }
}

#[test]
fn layers_of_two_images_are_stored_once() {
    let scene = Scene::new(Registry::start());
    let base = String::from_utf8_lossy(&noise(100_000)).into_owned();
    scene.push_layers("web", &[&base, "web"]);
    scene.push_layers("db", &[&base, "db"]);
    let (web, db) = (
        image_unit(&scene.name("web")),
        image_unit(&scene.name("db")),
    );
    scene.publish("2", &[("web.image", web), ("db.image", db)]);
    scene.run("upgrade");
    let layers = fs::read(scene.store().join("overlay-layers/layers.json")).unwrap();
    let layers: Vec<Value> = serde_json::from_slice(&layers).unwrap();
    assert_eq!(layers.len(), 3);
}
