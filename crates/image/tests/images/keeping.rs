//! What stays of stored images: copies, checks and repairs, and what is collected for which reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use image::{CheckError, CollectionPlan, Fate, ImportOptions, Usage};
use oci::reference::ImageReference;
use ostree::{Expect, TransactionOptions};
use ostree_format::refs::Refspec;
use progress::{Interrupt, Silent};
use testkit::oci::{Image, Layer};
use testkit::tar::TarWriter;

use crate::support::{Scene, open};

fn layer(text: &str) -> Layer {
    let tar = TarWriter::new().dir("usr", 0o755).dir("usr/share", 0o755);
    Layer::new(tar.file(format!("usr/share/{text}"), 0o644, text).finish())
}

fn two_layers(upper: &str) -> Image {
    Image::bootable().layer(layer("base")).layer(layer(upper))
}

fn name(scene: &Scene, tag: &str) -> ImageReference {
    scene.layout.reference(tag).parse().unwrap()
}

fn refs(scene: &Scene) -> Vec<String> {
    scene
        .ostree(&["refs"])
        .lines()
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn a_copy_is_the_same_image_under_another_name() {
    let mut scene = Scene::new();
    let stored = scene.pull("a", &two_layers("upper")).unwrap().state;
    let other = Scene::new();
    let target: ImageReference = "registry:quay.example/os/copy:latest".parse().unwrap();
    let interrupt = Interrupt::default();
    image::copy(
        &scene.repo,
        &name(&scene, "a"),
        &other.repo,
        &target,
        &Silent,
        &interrupt,
    )
    .unwrap();
    let copied = image::query_image(&other.repo, &target).unwrap().unwrap();
    assert_eq!(copied.merge_commit, stored.merge_commit);
    assert_eq!(refs(&other).len(), 3);
    other.assert_clean();
    // Nothing is to be fetched for it any more.
    let mut options = ImportOptions::default();
    options.target = Some(target);
    let source = open(&scene.layout.reference("a")).unwrap();
    let prepared = image::prepare(&other.repo, &*source, &options, &Silent).unwrap();
    assert!(
        matches!(prepared, image::Prepared::AlreadyPresent(_)),
        "{prepared:?}"
    );
}

#[test]
fn a_copy_of_an_encapsulated_image_has_its_base() {
    let scene = Scene::new();
    let reference = format!(
        "oci:{}",
        testkit::golden("oci").join("chunked-v1").display()
    );
    let stored = scene
        .pull_reference(&reference, &ImportOptions::default())
        .unwrap()
        .state;
    let other = Scene::with_mode(ostree_format::RepoMode::Archive);
    let image: ImageReference = reference.parse().unwrap();
    image::copy(
        &scene.repo,
        &image,
        &other.repo,
        &image,
        &Silent,
        &Interrupt::default(),
    )
    .unwrap();
    let copied = image::query_image(&other.repo, &image).unwrap().unwrap();
    assert_eq!(copied.base_commit, stored.base_commit);
    other.assert_clean();
}

fn object_of(scene: &Scene, commit: &str, path: &str) -> PathBuf {
    let line = scene.ostree(&["ls", "-C", commit, path]);
    let checksum = line.split_whitespace().nth(4).unwrap();
    let (head, tail) = checksum.split_at(2);
    scene
        .repo_path()
        .join(format!("objects/{head}/{tail}.file"))
}

/// Repairs what was found, from what the layout has under the tag `a`.
fn repair(
    scene: &Scene,
    image: &ImageReference,
    found: &image::ImageCheck,
) -> Result<image::Imported, CheckError> {
    let source = open(&scene.layout.reference("a")).unwrap();
    let options = ImportOptions::default();
    let interrupt = Interrupt::default();
    image::repair_image(
        &scene.repo,
        image,
        found,
        &*source,
        &options,
        &Silent,
        &interrupt,
    )
}

#[test]
fn a_check_names_the_layer_and_a_repair_brings_it_back() {
    let mut scene = Scene::new();
    let stored = scene.pull("a", &two_layers("upper")).unwrap().state;
    let commit = stored.merge_commit.to_string();
    let image = name(&scene, "a");
    let interrupt = Interrupt::default();
    let check = || image::check_image(&scene.repo, &image, &Silent, &interrupt).unwrap();
    assert!(check().is_whole());

    fs::write(object_of(&scene, &commit, "/usr/share/upper"), "other").unwrap();
    fs::remove_file(object_of(&scene, &commit, "/usr/share/base")).unwrap();
    let found = check();
    assert!(!found.is_whole());
    let digests: Vec<_> = found
        .layers
        .iter()
        .filter(|layer| !layer.problems.is_empty())
        .collect();
    assert_eq!(digests.len(), 2, "{found:?}");
    assert_eq!(found.damaged.len(), 1);

    let repaired = repair(&scene, &image, &found).unwrap();
    assert_eq!(repaired.layers_fetched, 2);
    assert_eq!(repaired.state.merge_commit, stored.merge_commit);
    assert!(check().is_whole());
    scene.assert_clean();
}

#[test]
fn only_what_is_damaged_is_fetched_again() {
    let mut scene = Scene::new();
    let stored = scene.pull("a", &two_layers("upper")).unwrap().state;
    let image = name(&scene, "a");
    let interrupt = Interrupt::default();
    let upper = object_of(&scene, &stored.merge_commit.to_string(), "/usr/share/upper");
    fs::remove_file(upper).unwrap();
    let found = image::check_image(&scene.repo, &image, &Silent, &interrupt).unwrap();
    let repaired = repair(&scene, &image, &found).unwrap();
    assert_eq!(repaired.layers_fetched, 1);
    scene.assert_clean();
}

#[test]
fn a_repair_from_another_image_is_refused() {
    let mut scene = Scene::new();
    scene.pull("a", &two_layers("upper")).unwrap();
    let image = name(&scene, "a");
    let interrupt = Interrupt::default();
    let found = image::check_image(&scene.repo, &image, &Silent, &interrupt).unwrap();
    scene.layout.tag("a", &two_layers("newer"));
    let refused = repair(&scene, &image, &found);
    assert!(
        matches!(refused, Err(CheckError::OtherImage { .. })),
        "{refused:?}"
    );
    scene.assert_clean();
}

fn fates(fates: &[Fate]) -> BTreeMap<&str, (bool, &str)> {
    fates
        .iter()
        .map(|fate| (fate.name.as_str(), (fate.stays, fate.reason.as_str())))
        .collect()
}

#[test]
fn images_and_layers_go_when_no_deployment_has_them() {
    let mut scene = Scene::new();
    let used = scene.pull("used", &two_layers("used")).unwrap().state;
    let pinned = scene.pull("pinned", &two_layers("pinned")).unwrap().state;
    let gone = scene.pull("gone", &two_layers("gone")).unwrap().state;
    let mut usage = Usage::default();
    usage
        .images
        .insert(name(&scene, "used").to_string(), "deployment 0".to_owned());
    usage
        .commits
        .insert(pinned.merge_commit, "deployment 1".to_owned());
    let before = refs(&scene);
    let plan = CollectionPlan::new(&scene.repo, Some(&usage)).unwrap();
    assert_eq!(refs(&scene), before, "a plan changes nothing");
    let images = fates(&plan.images);
    let (first, second) = (
        name(&scene, "used").to_string(),
        name(&scene, "pinned").to_string(),
    );
    assert_eq!(images[first.as_str()], (true, "deployment 0 uses it"));
    assert_eq!(images[second.as_str()], (true, "deployment 1 uses it"));
    assert!(!images[name(&scene, "gone").to_string().as_str()].0);
    let layers = fates(&plan.layers);
    // The layer that all three have stays.
    assert_eq!(layers.len(), 4);
    let upper = gone.manifest.layers()[1].digest().to_string();
    assert_eq!(layers[upper.as_str()], (false, "nothing has it"));
    assert_eq!(layers.values().filter(|(stays, _)| *stays).count(), 3);

    CollectionPlan::carry_out(&scene.repo, Some(&usage)).unwrap();
    assert_eq!(refs(&scene).len(), before.len() - 2);
    scene.ostree(&["prune", "--refs-only"]);
    assert!(image::query_image_commit(&scene.repo, &used.merge_commit).is_ok());
    assert!(image::query_image_commit(&scene.repo, &gone.merge_commit).is_err());
    scene.assert_clean();
}

#[test]
fn without_a_system_every_image_stays() {
    let mut scene = Scene::new();
    scene.pull("a", &two_layers("a")).unwrap();
    let plan = CollectionPlan::carry_out(&scene.repo, None).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
}

#[test]
fn base_images_stay_with_what_is_derived_from_them() {
    let mut scene = Scene::new();
    let base = scene.pull("base", &two_layers("base")).unwrap().state;
    let set = |name: &str| {
        let txn = scene.repo.begin(TransactionOptions::default()).unwrap();
        let name = format!("ostree/container/baseimage/{name}")
            .parse()
            .unwrap();
        txn.set_ref(Refspec::local(name), Expect::Any, Some(base.merge_commit));
        txn.commit(&Silent, &Interrupt::default()).unwrap();
    };
    set("bootc/0");
    set("other/0");
    let mut usage = Usage::default();
    let plan = CollectionPlan::new(&scene.repo, Some(&usage)).unwrap();
    let found = fates(&plan.base_images);
    assert!(!found["bootc/0"].0);
    assert_eq!(found["other/0"], (true, "it belongs to another program"));
    // Its layers stay for the one that stays.
    assert!(plan.layers.iter().all(|fate| fate.stays), "{plan:?}");

    let derived = scene.ostree(&[
        "commit",
        "--branch=derived",
        &format!("--parent={}", base.merge_commit),
        "--tree=ref=ostree/container/baseimage/other/0",
    ]);
    usage
        .commits
        .insert(derived.trim().parse().unwrap(), "deployment 0".to_owned());
    let plan = CollectionPlan::new(&scene.repo, Some(&usage)).unwrap();
    assert_eq!(
        fates(&plan.base_images)["bootc/0"],
        (true, "deployment 0 is derived from it")
    );
}

#[test]
fn layers_of_a_pending_update_stay() {
    let mut scene = Scene::new();
    scene.pull("a", &two_layers("old")).unwrap();
    // The new version is known, and one of its layers is here, as after a pull that was interrupted.
    scene.layout.tag("a", &two_layers("new"));
    let source = open(&scene.layout.reference("a")).unwrap();
    let prepared =
        image::prepare(&scene.repo, &*source, &ImportOptions::default(), &Silent).unwrap();
    let image::Prepared::Ready(plan) = prepared else {
        panic!("there is an update");
    };
    let mut options = ImportOptions::default();
    options.no_imgref = true;
    options.skip_collection = true;
    plan.import(
        &scene.repo,
        &*source,
        &options,
        &Silent,
        &Interrupt::default(),
    )
    .unwrap();
    let plan = CollectionPlan::new(&scene.repo, None).unwrap();
    assert!(plan.layers.iter().all(|fate| fate.stays), "{plan:?}");
    let pending = plan
        .layers
        .iter()
        .filter(|fate| fate.reason.contains("pending update"));
    assert_eq!(pending.count(), 1);
}
