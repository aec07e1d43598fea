//! Imports must give the same trees as the importer of bootc 1.16.9, whose answers are recorded in
//! the golden group `imports` (made by `tests/golden/mkimages.py`).

mod support;

use std::fs;
use std::path::Path;

use support::{answer, bootroot, ostree};
use testkit::{golden, scratch_dir};

/// Images that bootc refuses or spoils and bootroot imports, with the reason why it should.
const BETTER: &[(&str, &str)] = &[
    ("odd-newline-xattr", "an attribute may hold a newline"),
    (
        "odd-hardlink-chain",
        "a link to a link is a link to its file",
    ),
    ("odd-hardlink-below", "the file is in a layer below"),
];

/// Images whose trees differ, with the reason why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "odd-whiteout-of-top",
        "removing /etc removes it, wherever it is kept",
    ),
    ("odd-empty-xattr", "what bootc writes fails its own fsck"),
    (
        "odd-percent-xattr",
        "GNU tar writes = as %3D in names of attributes",
    ),
    (
        "odd-hardlink-repo",
        "directories of a repository in a layer are not kept",
    ),
];

fn listed(list: &[(&str, &str)], tag: &str) -> bool {
    list.iter().any(|(name, _)| *name == tag)
}

/// The tags of the golden images.
fn tags(imports: &Path) -> Vec<String> {
    let index = fs::read(imports.join("oci/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let manifests = index["manifests"].as_array().unwrap().iter();
    let name = |m: &serde_json::Value| {
        m["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    manifests.map(name).collect()
}

/// What `ostree ls` says of the imported image and `ostree fsck` of the repository, or the refusal.
fn import(imports: &Path, tag: &str) -> Result<String, String> {
    let dir = scratch_dir();
    let repo = dir.path().join("repo");
    answer(&mut bootroot(&format!(
        "--repo {} ostree init",
        repo.display()
    )));
    let image = format!(
        "ostree-unverified-image:oci:{}/oci:{tag}",
        imports.display()
    );
    let pull = bootroot(&format!("-q --repo {} image pull {image}", repo.display()))
        .output()
        .unwrap();
    let repo = format!("--repo={}", repo.display());
    assert!(
        answer(&mut ostree(&format!("{repo} fsck"))).contains("no errors found"),
        "{tag}"
    );
    if !pull.status.success() {
        return Err(String::from_utf8(pull.stderr).unwrap());
    }
    let refs = answer(&mut ostree(&format!(
        "{repo} refs --list ostree/container/image"
    )));
    Ok(answer(&mut ostree(&format!(
        "{repo} ls -R -C -X {}",
        refs.trim()
    ))))
}

#[test]
fn trees_are_those_that_bootc_makes() {
    let imports = golden("imports");
    let tags = tags(&imports);
    assert!(tags.len() > 30, "{tags:?}");
    for tag in &tags {
        let recorded = fs::read_to_string(imports.join(format!("expect/{tag}.ls"))).ok();
        match (import(&imports, tag), recorded) {
            (Ok(seen), Some(recorded)) => {
                assert_eq!(seen == recorded, !listed(DIFFERENT, tag), "{tag}:\n{seen}");
            }
            (Ok(seen), None) => assert!(listed(BETTER, tag), "bootc refuses {tag}:\n{seen}"),
            (Err(refusal), Some(_)) => panic!("bootc takes {tag}: {refusal}"),
            (Err(refusal), None) => assert!(refusal.contains("layer sha256:"), "{tag}: {refusal}"),
        }
    }
}
