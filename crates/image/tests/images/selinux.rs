//! Images that carry a SELinux policy are labelled by it.

use testkit::oci::{Image, Layer};
use testkit::tar::TarWriter;

use crate::support::Scene;

const CONTEXTS: &str = "\
/.*\tsystem_u:object_r:default_t:s0
/usr(/.*)?\tsystem_u:object_r:usr_t:s0
/usr/bin/.*\t--\tsystem_u:object_r:bin_t:s0
/etc(/.*)?\tsystem_u:object_r:etc_t:s0
/var/unlabelled\t<<none>>
";

fn policy_layer() -> Layer {
    let files = "etc/selinux/targeted/contexts/files";
    let tar = TarWriter::new()
        .dir("etc", 0o755)
        .dir("etc/selinux", 0o755)
        .file(
            "etc/selinux/config",
            0o644,
            "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
        )
        .file(format!("{files}/file_contexts"), 0o644, CONTEXTS)
        .file(
            format!("{files}/file_contexts.subs_dist"),
            0o644,
            "/usr/etc /etc\n",
        );
    Layer::new(tar.finish())
}

fn content_layer() -> Layer {
    let tar = TarWriter::new()
        .dir("usr", 0o755)
        .dir("usr/bin", 0o755)
        .file("usr/bin/tool", 0o755, "tool")
        .symlink("usr/bin/alias", "tool")
        .dir("var", 0o755)
        .file("var/unlabelled", 0o644, "x");
    Layer::new(tar.finish())
}

/// The label of `path` in `commit`, as the real `ostree` lists it.
fn label(scene: &Scene, commit: &str, path: &str) -> Option<String> {
    let line = scene.ostree(&["ls", "-X", "-d", commit, path]);
    let (_, rest) = line.split_once("b'security.selinux', b'")?;
    rest.split_once('\'').map(|(label, _)| label.to_owned())
}

#[test]
fn merged_tree_and_layers_are_labelled() {
    let mut scene = Scene::new();
    let image = Image::bootable()
        .layer(content_layer())
        .layer(policy_layer());
    let merged = scene
        .pull("v1", &image)
        .unwrap()
        .state
        .merge_commit
        .to_string();
    for (path, expected) in [
        ("/usr/bin/tool", Some("bin_t")),
        ("/usr/bin/alias", Some("usr_t")),
        ("/usr/bin", Some("usr_t")),
        ("/usr/etc/selinux/config", Some("etc_t")),
        ("/", Some("default_t")),
        ("/var/unlabelled", None),
    ] {
        let expected = expected.map(|kind| format!("system_u:object_r:{kind}:s0"));
        assert_eq!(label(&scene, &merged, path), expected, "{path}");
    }
    // The layers name the labelled objects, so the unlabelled ones can go.
    scene.ostree(&["prune", "--refs-only"]);
    let objects = scene.ostree(&["ls", "-R", "-C", &merged]);
    let tool = objects
        .lines()
        .find(|line| line.ends_with("/usr/bin/tool"))
        .unwrap();
    let layers = scene.ostree(&["refs", "--list", "ostree/container/blob"]);
    let has_tool = |name: &str| scene.ostree(&["ls", "-R", "-C", name]).contains(tool);
    assert_eq!(layers.lines().filter(|name| has_tool(name)).count(), 1);
    scene.assert_clean();
}

#[test]
fn a_disabled_policy_labels_nothing() {
    let mut scene = Scene::new();
    let off = TarWriter::new().file(
        "etc/selinux/config",
        0o644,
        "SELINUX=disabled\nSELINUXTYPE=targeted\n",
    );
    let image = Image::bootable()
        .layer(content_layer())
        .layer(policy_layer())
        .layer(Layer::new(off.finish()));
    let merged = scene
        .pull("v1", &image)
        .unwrap()
        .state
        .merge_commit
        .to_string();
    assert_eq!(label(&scene, &merged, "/usr/bin/tool"), None);
    scene.assert_clean();
}
