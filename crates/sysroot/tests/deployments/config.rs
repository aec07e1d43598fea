//! Settings of the repository's config that change boot entries, against entries that libostree 2026.4
//! wrote for the same steps.

use std::fs;

use crate::support::{Lab, make_tree, options, request};

const SUM: &str = "f60aab87c9d00b017940bcf2cf9402b4398730aa8b24df28f8a0d7c56575450b";

/// Two deployments of the same kernel in a sysroot with these settings.
fn two_deployments(scratch: &tempfile::TempDir, settings: &[(&str, &str)]) -> Lab {
    let lab = Lab::ours(scratch.path().join("S"), options());
    lab.init_stateroot("os");
    for (key, value) in settings {
        lab.ostree(&["config", "set", key, value]);
    }
    for version in ["1", "2"] {
        let tree = scratch.path().join(version);
        make_tree(&tree, version, "6.1.0-t");
        let commit = lab.commit(version, &tree, &format!("{version}.0"));
        lab.deploy(&request("os", commit, version)).unwrap();
    }
    lab
}

/// The entry of the deployment with this index of two.
fn entry(title: &str, index: u32, links: u32, prefix: &str, more: &str) -> String {
    format!(
        "title Test OS {title} (ostree:{index})\nversion {}\noptions ostree=/ostree/boot.{links}/os/{SUM}/{index}\n\
         linux {prefix}/ostree/os-{SUM}/vmlinuz-6.1.0-t\ninitrd {prefix}/ostree/os-{SUM}/initramfs-6.1.0-t.img\n{more}",
        2 - index
    )
}

fn entries(lab: &Lab) -> Vec<(String, String)> {
    let dir = lab.root.join("boot/loader/entries");
    let mut found = Vec::new();
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        found.push((name, fs::read_to_string(path).unwrap()));
    }
    found.sort();
    found
}

fn named(files: [(&str, String); 2]) -> Vec<(String, String)> {
    files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

#[test]
fn boot_prefix() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = two_deployments(&scratch, &[("sysroot.bootprefix", "true")]);
    let expected = named([
        ("ostree-1.conf", entry("1.0", 1, 0, "/boot", "")),
        ("ostree-2.conf", entry("2.0", 0, 0, "/boot", "")),
    ]);
    assert_eq!(entries(&lab), expected);
    assert!(
        lab.load()
            .deployments
            .iter()
            .all(|deployment| deployment.problems.is_empty())
    );
}

#[test]
fn keys_of_all_but_the_default() {
    let scratch = tempfile::tempdir().unwrap();
    let setting = ("sysroot.bls-append-except-default", "grub_users=\"\"");
    let lab = two_deployments(&scratch, &[setting]);
    let more = "grub_users \"\"\n";
    let expected = named([
        ("ostree-1.conf", entry("1.0", 1, 0, "", more)),
        ("ostree-2.conf", entry("2.0", 0, 0, "", "")),
    ]);
    assert_eq!(entries(&lab), expected);
    // libostree leaves the key in an entry that becomes the default; the setting says otherwise.
    lab.set_default(1);
    let expected = named([
        ("ostree-1.conf", entry("2.0", 1, 1, "", more)),
        ("ostree-2.conf", entry("1.0", 0, 1, "", "")),
    ]);
    assert_eq!(entries(&lab), expected);
}

#[test]
fn boots_are_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = two_deployments(&scratch, &[("sysroot.boot-counting-tries", "3")]);
    let names = |lab: &Lab| {
        entries(lab)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&lab), ["ostree-1+3-0.conf", "ostree-2+3.conf"]);
    let dir = lab.root.join("boot/loader/entries");
    fs::rename(dir.join("ostree-2+3.conf"), dir.join("ostree-2+2-1.conf")).unwrap();
    lab.set_default(1);
    assert_eq!(names(&lab), ["ostree-1+2-1.conf", "ostree-2+3-0.conf"]);
}

#[test]
fn keys_of_others_stay() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = two_deployments(&scratch, &[]);
    let file = lab.root.join("boot/loader/entries/ostree-2.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}x-options-source-tuned a=b\n")).unwrap();
    lab.undeploy(1);
    let (name, text) = entries(&lab).remove(0);
    assert_eq!(name, "ostree-1.conf");
    assert!(text.ends_with("\nx-options-source-tuned a=b\n"), "{text}");
}
