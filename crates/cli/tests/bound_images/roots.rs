//! The same where roots are images of composefs.

use std::fs;
use std::path::Path;

use testkit::Registry;
use testkit::oci::{Image, Layer};

use crate::damage::{label_of, with_policy};
use crate::scene::{Scene, image_unit};
use crate::support::host::tree;
use crate::support::sysroot::ScratchSysroot;
use crate::support::{answer, refusal};

/// Publishes a system that binds these images.
fn publish(scene: &Scene, version: &str, names: &[&str]) {
    let mut tree = with_policy(tree(version));
    for dir in ["boot", "proc", "dev", "run", "var", "sysroot"] {
        tree = tree.dir(dir, 0o755);
    }
    tree = tree
        .dir("usr/lib/bootc", 0o755)
        .dir("usr/lib/bootc/bound-images.d", 0o755)
        .dir("usr/share", 0o755);
    for (number, name) in names.iter().enumerate() {
        let unit = format!("{number}.image");
        tree = tree
            .file(format!("usr/share/{unit}"), 0o644, image_unit(name))
            .symlink(
                format!("usr/lib/bootc/bound-images.d/{unit}"),
                format!("/usr/share/{unit}"),
            );
    }
    let image = Image::bootable().layer(Layer::new(tree.finish()));
    scene.host.publish_image("latest", &image);
}

#[test]
fn a_root_binds_images() {
    let scene = Scene::new(Registry::start());
    let (web, db, none) = (scene.name("web"), scene.name("db"), scene.name("none"));
    let root = ScratchSysroot::empty();
    let run = |line: &str| answer(&mut scene.command_at(root.path(), line));
    publish(&scene, "1", &[&web]);
    let image = scene.host.image("latest");
    run(&format!(
        "deploy --composefs {image} --karg root=LABEL=root"
    ));
    let store = root.join("ostree/bootc/storage");
    assert_eq!(scene.found_by_podman_in(&store), std::slice::from_ref(&web));
    let mut find = testkit::command("find");
    find.arg(store.join("overlay"));
    let app = answer(find.args(["-path", "*/diff/app"]));
    let label = label_of(Path::new(app.trim_end()));
    assert_eq!(label, "system_u:object_r:container_ro_file_t:s0\0");
    let link = fs::read_link(root.join("ostree/bootc")).unwrap();
    assert_eq!(link, Path::new("../composefs/bootc"));

    // Without what it binds nothing is deployed.
    publish(&scene, "2", &[&db, &none]);
    let said = refusal(&mut scene.command_at(root.path(), "upgrade"), 3);
    assert!(said.contains("cannot find the bound image"), "{said}");
    let entries = || {
        fs::read_dir(root.join("boot/loader/entries"))
            .unwrap()
            .count()
    };
    assert_eq!(entries(), 1);

    publish(&scene, "2", &[&db]);
    run("upgrade");
    assert_eq!(scene.found_by_podman_in(&store), [db.clone(), web]);
    let checked = run("fsck");
    assert!(!checked.contains("containers:"), "{checked}");
    publish(&scene, "3", &[&db]);
    run("upgrade");
    assert_eq!(scene.found_by_podman_in(&store), [db]);
    run("undeploy --all");
    run("cleanup");
    assert_eq!(scene.found_by_podman_in(&store), Vec::<String>::new());
}
