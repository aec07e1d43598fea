//! What a system's own units run is there before it boots, and the real podman finds it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::oci::{Image, Layer};
use testkit::{HTPASSWD_PASSWORD, HTPASSWD_USER, Registry};

use crate::scene::{Scene, container_unit, image_unit};
use crate::support::host::tree;
use crate::support::{answer, assert_valid, bootroot, refusal};

#[test]
fn what_is_bound_is_there_and_goes_when_nothing_binds_it() {
    let scene = Scene::new(Registry::start());
    let (web, db) = (scene.name("web"), scene.name("db"));
    scene.publish(
        "2",
        &[
            ("web.image", image_unit(&web)),
            ("db.container", container_unit(&db)),
        ],
    );
    scene.run("upgrade");
    assert_eq!(scene.host.versions(), ["2", "1"]);
    assert_eq!(scene.found_by_podman(), [db.clone(), web.clone()]);
    let list: Value = serde_json::from_str(&scene.run("image list --json")).unwrap();
    assert_valid("image-list", &list);
    let bound = list["bound"].as_array().unwrap();
    let names: Vec<_> = bound.iter().map(|one| one["image"].clone()).collect();
    assert_eq!(names, [json!(db), json!(web)]);
    assert!(bound[0]["digest"].as_str().unwrap().starts_with("sha256:"));
    let place = scene.host.sysroot.path().display();
    let table = answer(&mut bootroot(&format!("--sysroot {place} image list")));
    assert!(
        table.contains(&format!("containers-storage:{web}")),
        "{table}"
    );

    // What is there is not fetched again; only what the next system binds is kept.
    scene.publish("3", &[("web.image", image_unit(&web))]);
    drop(fs::remove_dir_all(scene.registry.storage()));
    scene.run("upgrade");
    assert_eq!(scene.found_by_podman(), [db, web.clone()]);
    scene.publish("4", &[("web.image", image_unit(&web))]);
    scene.run("upgrade");
    assert_eq!(scene.found_by_podman(), [web]);
    scene.publish("5", &[]);
    scene.run("upgrade");
    scene.publish("6", &[]);
    scene.run("upgrade");
    assert_eq!(scene.found_by_podman(), Vec::<String>::new());
}

#[test]
fn without_what_it_binds_nothing_is_deployed() {
    let scene = Scene::new(Registry::start());
    let (web, none) = (scene.name("web"), scene.name("none"));
    let before = scene.host.sysroot.facts();
    for (units, code, expected) in [
        (
            vec![
                ("web.image", image_unit(&web)),
                ("none.image", image_unit(&none)),
            ],
            3,
            "cannot find the bound image",
        ),
        (vec![("a.image", "[Image]\n".to_owned())], 4, "a.image"),
        (vec![("a.image", image_unit("x%i"))], 4, "specifiers"),
        (vec![("a.service", image_unit(&web))], 4, "neither"),
    ] {
        scene.publish("2", &units);
        let said = refusal(&mut scene.command("upgrade"), code);
        assert!(said.contains(expected), "{said}");
        assert_eq!(scene.host.versions(), ["1"]);
    }
    // All are found before any is fetched.
    assert_eq!(scene.found_by_podman(), Vec::<String>::new());
    let boots = |facts: &[String]| -> Vec<String> {
        let of_boot = facts.iter().filter(|fact| fact.contains("boot"));
        of_boot.cloned().collect()
    };
    assert_eq!(boots(&scene.host.sysroot.facts()), boots(&before));
}

#[test]
fn a_file_instead_of_a_link_and_a_link_to_nothing_are_refused() {
    let scene = Scene::new(Registry::start());
    let directory = "usr/lib/bootc/bound-images.d";
    for (tree, expected) in [
        (
            tree("2").file(format!("{directory}/a.image"), 0o644, "[Image]\n"),
            "no symbolic link",
        ),
        (
            tree("2").symlink(format!("{directory}/a.image"), "/usr/nothing"),
            "leads to no file",
        ),
    ] {
        let image = Image::bootable().layer(Layer::new(tree.finish()));
        scene.host.publish_image("latest", &image);
        let said = refusal(&mut scene.command("upgrade"), 4);
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(scene.host.versions(), ["1"]);
}

#[test]
fn each_has_its_own_credentials() {
    let registry = Registry::with_htpasswd();
    let auth = tempfile::tempdir().unwrap();
    let file = auth.path().join("auth.json");
    let words = format!("{HTPASSWD_USER}:{HTPASSWD_PASSWORD}");
    let encoded =
        answer(testkit::command("bash").args(["-c", "printf %s \"$0\" | base64 -w0", &words]));
    let text = json!({"auths": {registry.host(): {"auth": encoded}}});
    fs::write(&file, text.to_string()).unwrap();
    let scene = Scene::new(registry);
    let web = scene.name("web");
    scene.publish("2", &[("web.image", image_unit(&web))]);
    refusal(&mut scene.command("upgrade"), 11);
    let with_auth = |file: &Path| format!("{}AuthFile={}\n", image_unit(&web), file.display());
    scene.publish("2", &[("web.image", with_auth(&file))]);
    scene.run("upgrade");
    assert_eq!(scene.found_by_podman(), [web]);
}

#[test]
fn podman_is_given_what_is_deployed() {
    let scene = Scene::new(Registry::start());
    let storage = scene.dir.path().join("storage");
    let conf = scene.dir.path().join("storage.conf");
    let text = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}\"\nrunroot = \"{0}-run\"\n",
        storage.display()
    );
    fs::write(&conf, text).unwrap();
    let mut copy = scene.command("image copy-to-storage --target localhost/host:1");
    answer(copy.env("CONTAINERS_STORAGE_CONF", &conf));
    let mut podman = testkit::command("podman");
    podman.args(["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let listed = answer(podman.env("CONTAINERS_STORAGE_CONF", &conf));
    assert_eq!(listed, "localhost/host:1\n");
    let said = refusal(
        &mut scene.command("image copy-to-storage --source oci:/none"),
        3,
    );
    assert!(said.contains("/none"), "{said}");
}

#[test]
fn podman_works_on_the_store_itself() {
    let scene = Scene::new(Registry::start());
    let web = scene.name("web");
    scene.publish("2", &[("web.image", image_unit(&web))]);
    scene.run("upgrade");
    let listed = scene.run("image cmd list --format {{.Repository}}:{{.Tag}}");
    assert_eq!(listed, format!("{web}\n"));
}

#[test]
fn the_system_itself_is_there_for_podman() {
    let scene = Scene::new(Registry::start());
    let host = scene.registry.host();
    let name = format!("{host}/os:latest");
    let web = scene.name("web");
    let push = |version: &str, units: &[(&str, String)]| {
        scene.publish(version, units);
        scene
            .registry
            .push(&scene.host.image("latest"), "os:latest");
    };
    push("2", &[]);
    let said = refusal(&mut scene.command("image set-unified"), 6);
    assert!(said.contains("registry"), "{said}");
    scene.run(&format!("switch registry:{name}"));
    assert_eq!(scene.found_by_podman(), Vec::<String>::new());
    let said = scene.run("image set-unified");
    assert!(said.contains(&name), "{said}");
    assert_eq!(scene.found_by_podman(), std::slice::from_ref(&name));
    scene.run("cleanup");
    assert_eq!(scene.found_by_podman(), std::slice::from_ref(&name));
    // The next one comes along, and goes with the deployment.
    push("3", &[("web.image", image_unit(&web))]);
    let upgraded: Value = serde_json::from_str(&scene.run("upgrade --json")).unwrap();
    assert_valid("upgrade", &upgraded);
    assert_eq!(upgraded["bound"]["images"][0]["image"], json!(web));
    assert!(upgraded["bound"]["bytes_to_fetch"].as_u64().unwrap() > 0);
    let by_digest = format!("{host}/os:<none>");
    assert_eq!(
        scene.found_by_podman(),
        [web.clone(), by_digest, name.clone()]
    );
    push("4", &[("web.image", image_unit(&web))]);
    scene.run("upgrade");
    scene.run("fsck");
    scene.run(&format!("switch {}", scene.host.image("latest")));
    scene.run("rollback");
    scene.run("fsck");
}
