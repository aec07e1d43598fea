//! Commits in images, and what `bootroot image` does with images that are made here.

use std::fs;

use crate::bench::Bench;
use crate::support::{answer, bootroot, ostree, refusal};

#[test]
fn a_commit_goes_through_an_image_into_another_repository() {
    let bench = Bench::new();
    let commit = bench.commit("--add-metadata-string=version=2");
    let image = bench.image("image");
    let line = format!("container encapsulate --chunked --label a=b --copymeta version os {image}");
    let written = bench.json("container-encapsulate", &line);
    assert!(written["layers"].as_array().unwrap().len() > 3);
    let digest = written["digest"].as_str().unwrap();
    let info = answer(&mut bootroot(&format!("container info {image}")));
    assert!(info.contains(digest), "{info}");

    // As `ostree` is called, with its options behind the verb.
    let other = bench.other_repo();
    let line = format!(
        "ostree container unencapsulate --repo={} --write-ref=back {image}",
        other.display()
    );
    let text = answer(&mut bootroot(&line));
    assert_eq!(text, format!("Imported: back => {commit}\n"));
    let found = answer(&mut ostree(&format!(
        "rev-parse --repo={} back",
        other.display()
    )));
    assert_eq!(found.trim(), commit);
    answer(&mut ostree(&format!(
        "fsck --quiet --repo={}",
        other.display()
    )));
    let line = format!("container unencapsulate {image}");
    bench.json("container-unencapsulate", &line);
}

#[test]
fn mistakes_are_told_before_anything_is_written() {
    let bench = Bench::new();
    let image = bench.image("image");
    refusal(
        &mut bench.run(&format!("container encapsulate no-such-ref {image}")),
        3,
    );
    refusal(
        &mut bench.run(&format!("container encapsulate --copymeta none os {image}")),
        3,
    );
    let no_file = format!("container encapsulate --contentmeta /nonexistent os {image}");
    refusal(&mut bench.run(&no_file), 3);
    let text = refusal(
        &mut bench.run("container encapsulate os oci:/nonexistent/image"),
        3,
    );
    assert!(text.contains("/nonexistent/image"), "{text}");
}

#[test]
fn a_pulled_image_is_exported_compared_checked_and_pruned() {
    let bench = Bench::new();
    for (name, text) in [("v1", "first"), ("v2", "second")] {
        fs::write(bench.path("tree/usr/share/doc/sh/README"), text).unwrap();
        bench.commit("");
        let image = bench.image(name);
        answer(&mut bench.run(&format!("container encapsulate --chunked os {image}")));
        answer(&mut bench.run(&format!("image pull {image}")));
    }
    let (v1, v2) = (bench.image("v1"), bench.image("v2"));
    let compared = bench.json("image-compare", &format!("image compare --files {v1} {v2}"));
    assert_eq!(
        compared["files"]["modified"],
        serde_json::json!(["/usr/share/doc/sh/README"])
    );
    assert!(compared["kept"]["count"].as_u64() > Some(1), "{compared}");

    let again = bench.image("again");
    let exported = bench.json(
        "container-encapsulate",
        &format!("image export {v2} {again}"),
    );
    let digest = answer(&mut bootroot(&format!("container info {v2}")));
    assert!(
        digest.contains(exported["digest"].as_str().unwrap()),
        "{digest}"
    );

    let whole = bench.json("image-integrity", &format!("image check {v1}"));
    assert_eq!(whole["whole"], true);
    fs::remove_file(bench.object("/usr/bin/sh")).unwrap();
    let damaged = bench.run(&format!("image check {v1}")).output().unwrap();
    assert_eq!(damaged.status.code(), Some(4), "{damaged:?}");
    let repaired = bench.json("image-integrity", &format!("image check --repair {v1}"));
    assert_eq!(repaired["repaired"], true);

    let plan = bench.json("image-prune", "image prune --dry-run");
    assert_eq!(plan["images"].as_array().unwrap().len(), 2);
    answer(&mut bench.run(&format!("container image remove {v1}")));
    bench.json("image-prune", "image prune");
    let names = answer(&mut bench.run("container image list"));
    assert_eq!(names, format!("{v2}\n"));
    let fsck = format!("fsck --quiet --repo={}", bench.path("repo").display());
    answer(&mut ostree(&fsck));
}

#[test]
fn the_verbs_of_ostree_ext_are_there() {
    let bench = Bench::new();
    let image = bench.image("image");
    answer(&mut bench.run(&format!("ostree container encapsulate os {image}")));
    let other = bench.other_repo();
    let (repo, digest) = (other.display(), bench.path("digest"));
    let line = format!(
        "ostree container image pull {repo} ostree-unverified-image:{image} --ostree-digestfile {}",
        digest.display()
    );
    let text = answer(&mut bootroot(&line));
    let commit = fs::read_to_string(&digest).unwrap();
    assert_eq!(
        text,
        format!("Wrote: ostree-unverified-image:{image} => {commit}\n")
    );
    let text = answer(&mut bootroot(&line));
    assert!(text.starts_with("No changes in "), "{text}");
    let copied = format!(
        "ostree container image copy --src-repo {repo} --dest-repo {} {image}",
        bench.path("repo").display()
    );
    answer(&mut bootroot(&copied));
    assert_eq!(
        answer(&mut bench.run("ostree container image list")),
        format!("{image}\n")
    );
    answer(&mut bench.run(&format!(
        "ostree container image clear-cached-update {image}"
    )));
    answer(&mut bench.run(&format!("ostree container image metadata {image}")));
    let signed = bench.image("signed");
    let text = answer(&mut bench.run(&format!(
        "ostree container image replace-detached-metadata --src {image} --dest {signed}"
    )));
    assert!(text.starts_with("Pushed: sha256:"), "{text}");
    let text = answer(&mut bench.run(&format!("ostree container compare {image} {signed}")));
    assert!(text.starts_with("Total new layers: 1"), "{text}");
    assert_eq!(
        answer(&mut bench.run(&format!("ostree container image remove {image}"))),
        "Removed images: 1 layers: 1\n"
    );
    assert_eq!(
        answer(&mut bench.run("ostree container image prune-layers")),
        "Removed layers: 0\n"
    );
}
