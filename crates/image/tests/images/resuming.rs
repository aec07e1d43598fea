//! Pulling again: after nothing changed, after a part changed, after an interrupt.

use std::fs;

use image::{Collected, ImportOptions, Prepared};
use progress::{Interrupt, Silent};
use testkit::oci::{Image, Layer};
use testkit::tar::TarWriter;

use crate::support::{PullError, Scene, Watched};

fn layer(name: &str, content: &str) -> Layer {
    let tar = TarWriter::new()
        .dir("usr", 0o755)
        .file(format!("usr/{name}"), 0o644, content);
    Layer::new(tar.finish()).created_by(name)
}

fn image(contents: [&str; 4]) -> Image {
    let names = ["a", "b", "c", "d"];
    let layers = names
        .iter()
        .zip(contents)
        .map(|(name, content)| layer(name, content));
    layers.fold(Image::bootable(), Image::layer)
}

#[test]
fn nothing_is_fetched_for_an_image_that_is_stored() {
    let mut scene = Scene::new();
    let first = scene.pull("v1", &image(["1", "1", "1", "1"])).unwrap();
    let source = Watched::new(&scene.layout.reference("v1"));
    let options = ImportOptions::default();
    match image::prepare(&scene.repo, &source, &options, &Silent).unwrap() {
        Prepared::AlreadyPresent(state) => {
            assert_eq!(state.merge_commit, first.state.merge_commit);
        }
        Prepared::Ready(plan) => panic!("{plan:?}"),
    }
    assert_eq!(source.blobs_opened(), 0);
}

#[test]
fn only_the_changed_layer_is_fetched() {
    let mut scene = Scene::new();
    scene.pull("v1", &image(["1", "1", "1", "1"])).unwrap();
    scene.layout.tag("v2", &image(["1", "1", "2", "1"]));
    let source = Watched::new(&scene.layout.reference("v2"));
    let imported = scene
        .pull_from(&source, &ImportOptions::default(), &Interrupt::default())
        .unwrap();
    assert_eq!(imported.layers_fetched, 1);
    // The config and one layer.
    assert_eq!(source.blobs_opened(), 2);
    assert_eq!(imported.stats.content_written, 1);
    scene.assert_clean();
}

#[test]
fn an_interrupted_pull_goes_on_at_the_next_layer() {
    let mut scene = Scene::new();
    scene.layout.tag("v1", &image(["1", "2", "3", "4"]));
    let interrupt = Interrupt::default();
    let mut source = Watched::new(&scene.layout.reference("v1"));
    // One layer at a time: the config, two layers, and the interrupt comes with the third.
    source.interrupt_at = Some((4, interrupt.clone()));
    let mut options = ImportOptions::default();
    options.parallel_layers = 1;
    let stopped = scene.pull_from(&source, &options, &interrupt);
    assert!(matches!(
        stopped,
        Err(PullError::Import(image::ImportError::Interrupted(_)))
    ));
    scene.assert_clean();
    assert!(
        scene
            .ostree(&["refs", "--list", "ostree/container/image"])
            .is_empty()
    );
    let reference = scene.layout.reference("v1");
    let imported = scene.pull_reference(&reference, &options).unwrap();
    assert_eq!(imported.layers_fetched, 2);
    scene.assert_clean();
}

#[test]
fn a_ref_to_a_missing_layer_is_not_trusted() {
    let mut scene = Scene::new();
    let imported = scene.pull("v1", &image(["1", "1", "1", "1"])).unwrap();
    let digest = imported.state.manifest.layers()[2].digest().to_string();
    let name = format!("ostree/container/blob/{}", digest.replace(':', "_3A_"));
    let commit = scene.ostree(&["rev-parse", &name]);
    let object = format!("objects/{}/{}.commit", &commit[..2], commit[2..].trim());
    fs::remove_file(scene.repo_path().join(object)).unwrap();
    let again = scene.pull("v2", &image(["1", "1", "1", "2"])).unwrap();
    assert_eq!(again.layers_fetched, 2);
    scene.assert_clean();
}

#[test]
fn layers_of_the_old_version_are_collected() {
    let mut scene = Scene::new();
    let reference = {
        scene.layout.tag("latest", &image(["1", "1", "1", "1"]));
        scene.layout.reference("latest")
    };
    scene
        .pull_reference(&reference, &ImportOptions::default())
        .unwrap();
    scene.layout.tag("latest", &image(["1", "2", "1", "2"]));
    scene
        .pull_reference(&reference, &ImportOptions::default())
        .unwrap();
    let layers = || {
        scene
            .ostree(&["refs", "--list", "ostree/container/blob"])
            .lines()
            .count()
    };
    assert_eq!(layers(), 4);
    let stored = image::list_images(&scene.repo).unwrap();
    let names: Vec<_> = stored.iter().map(|(name, _)| name).collect();
    assert!(image::remove_images(&scene.repo, names).unwrap().is_empty());
    assert_eq!(
        image::collect_layers(&scene.repo).unwrap(),
        Collected::Layers(4)
    );
    assert_eq!(layers(), 0);
    scene.ostree(&["prune", "--refs-only"]);
    scene.assert_clean();
}

#[test]
fn what_a_pull_would_bring_is_remembered() {
    let mut scene = Scene::new();
    scene.layout.tag("latest", &image(["1", "1", "1", "1"]));
    let reference = scene.layout.reference("latest");
    let stored = scene
        .pull_reference(&reference, &ImportOptions::default())
        .unwrap()
        .state;
    let digest = scene.layout.tag("latest", &image(["1", "1", "1", "2"]));
    let source = Watched::new(&reference);
    image::prepare(&scene.repo, &source, &ImportOptions::default(), &Silent).unwrap();
    let cached = image::cached_update(&scene.repo, &stored.merge_commit)
        .unwrap()
        .unwrap();
    assert_eq!(cached.manifest_digest.to_string(), digest);
    image::clear_cached_update(&scene.repo, &stored.merge_commit).unwrap();
    assert!(
        image::cached_update(&scene.repo, &stored.merge_commit)
            .unwrap()
            .is_none()
    );
    scene.assert_clean();
}
