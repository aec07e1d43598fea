//! Layers by package: databases of dpkg and RPM in the tree, and how often what is in them changes.

use std::collections::BTreeMap;
use std::fs;

use image::{Chunking, DirectoryCommit, EncapsulateOptions, Frequencies};

use crate::directory::Root;
use crate::support::{Scene, open};

fn by_package(max_layers: usize) -> EncapsulateOptions {
    let mut options = EncapsulateOptions::default();
    options.chunking = Chunking::Packages;
    options.max_layers = max_layers;
    options
}

/// Layer by layer: the components that the annotation names, and the files outside of the repository.
fn layers(root: &Root, name: &str) -> Vec<(String, Vec<String>)> {
    let source = open(&root.reference(name)).unwrap();
    let manifest = source.manifest().unwrap().manifest;
    let layers = manifest.manifest().layers().iter().map(|layer| {
        let annotations = layer.annotations().clone().unwrap_or_default();
        let components = annotations.get("ostree.components").cloned();
        let blob = source.open_blob(layer, 0).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob));
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            if !entry.header().entry_type().is_dir() && !path.starts_with("sysroot/") {
                files.push(path);
            }
        }
        (components.unwrap_or_default(), files)
    });
    layers.collect()
}

/// The files of each component.
fn contents(root: &Root, name: &str) -> BTreeMap<String, Vec<String>> {
    layers(root, name).into_iter().collect()
}

fn debian() -> Root {
    let root = Root::new();
    let stanza = |package: &str, more: &str| {
        format!("Package: {package}\nStatus: install ok installed\nArchitecture: amd64\n{more}\n")
    };
    let status = [
        stanza("libc6", "Multi-Arch: same\nSource: glibc (2.36-9)\n"),
        stanza("libc-bin", "Source: glibc\n"),
        stanza("bash", ""),
    ];
    root.file("var/lib/dpkg/status", status.concat());
    let lists = [
        (
            "libc6:amd64",
            "/.\n/lib\n/lib/libc.so.6\n/usr/share/doc/libc6/copyright\n",
        ),
        ("libc-bin", "/.\n/usr/bin/getconf\n/etc/ld.so.conf\n"),
        ("bash", "/bin/bash\n/usr/share/doc/bash/copyright\n/gone\n"),
    ];
    for (package, list) in lists {
        root.file(&format!("var/lib/dpkg/info/{package}.list"), list);
    }
    root.link("lib", "usr/lib");
    root.link("bin", "/usr/bin");
    root.file("usr/lib/libc.so.6", "libc");
    root.file("usr/bin/getconf", "getconf");
    root.file("usr/bin/bash", "bash");
    root.file("etc/ld.so.conf", "conf");
    // The same file in both: it goes with the first.
    root.file("usr/share/doc/libc6/copyright", "license");
    root.file("usr/share/doc/bash/copyright", "license");
    root.file("usr/lib/modules/6.1/vmlinuz", "kernel");
    root.file("opt/own/thing", "thing");
    root
}

#[test]
fn dpkg_says_what_belongs_together() {
    let root = debian();
    root.wrap("image", &DirectoryCommit::default(), &by_package(64))
        .unwrap();
    let contents = contents(&root, "image");
    let mut glibc = contents["glibc"].clone();
    glibc.sort();
    assert_eq!(
        glibc,
        [
            "etc/ld.so.conf",
            "lib",
            "usr/bin/getconf",
            "usr/lib/libc.so.6"
        ]
    );
    let mut bash = contents["bash"].clone();
    bash.sort();
    assert_eq!(
        bash,
        [
            "usr/bin/bash",
            "usr/share/doc/bash/copyright",
            "usr/share/doc/libc6/copyright"
        ]
    );
    assert_eq!(contents["kernel"], ["usr/lib/modules/6.1/vmlinuz"]);
    assert_eq!(contents["opt/own"], ["opt/own/thing"]);
}

#[test]
fn rpm_says_what_belongs_together() {
    let root = Root::new();
    let golden = testkit::golden("packages");
    let database = fs::read(golden.join("rpmdb.sqlite")).unwrap();
    root.file("usr/lib/sysimage/rpm/rpmdb.sqlite", &database);
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string(golden.join("files.txt"))
        .unwrap()
        .lines()
    {
        let (source, path) = line.split_once(' ').unwrap();
        let path = path.strip_prefix('/').unwrap();
        if path != "usr/share/many" {
            root.file(path, path);
            let name = source.split('-').next().unwrap();
            expected
                .entry(name.to_owned())
                .or_default()
                .push(path.to_owned());
        }
    }
    assert_eq!(expected["base"].len() + expected["many"].len(), 315);
    root.wrap("image", &DirectoryCommit::default(), &by_package(64))
        .unwrap();
    let contents = contents(&root, "image");
    for (source, mut files) in expected {
        let mut found = contents[&source].clone();
        found.sort();
        files.sort();
        assert_eq!(found, files, "{source}");
    }

    // What is still in a journal would be missing.
    root.file("usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "x");
    let refused = root.wrap("again", &DirectoryCommit::default(), &by_package(64));
    assert!(refused.unwrap_err().to_string().contains("was not closed"));
    fs::remove_file(root.path("usr/lib/sysimage/rpm/rpmdb.sqlite-wal")).unwrap();
    root.file("usr/lib/sysimage/rpm/rpmdb.sqlite", &database[..20_000]);
    let refused = root.wrap("again", &DirectoryCommit::default(), &by_package(64));
    assert!(refused.unwrap_err().to_string().contains("is damaged"));
}

/// As `rpm -qa --qf '%{NAME}.%{ARCH} %{VERSION}-%{RELEASE}'` says.
#[test]
fn versions_are_those_that_rpm_says() {
    let root = Root::new();
    let database = fs::read(testkit::golden("packages").join("rpmdb.sqlite")).unwrap();
    root.file("usr/share/rpm/rpmdb.sqlite", &database);
    let scene = Scene::new();
    let tree = root.path("").display().to_string();
    let commit = scene.ostree(&["commit", "--orphan", &tree]);
    let commit = commit.trim().parse().unwrap();
    let found = image::package_versions(&scene.repo, &commit);
    let found = found.unwrap().unwrap();
    let mut expected: Vec<(String, String)> = (0..12)
        .map(|n| format!("base-sub{n}"))
        .chain(["base".into(), "base-extra".into()])
        .map(|name| (format!("{name}.noarch"), "1.0-3".into()))
        .collect();
    expected.push(("many.noarch".into(), "2-1".into()));
    assert_eq!(found, expected.into_iter().collect());
}

#[test]
fn what_changes_often_gets_layers_of_its_own() {
    let root = Root::new();
    for n in 0..20u8 {
        root.file(&format!("usr/share/rare{n}/file"), vec![n; 1000]);
        root.file(&format!("usr/share/often{n}/file"), vec![100 + n; 1000]);
    }
    let known: Vec<_> = (0..20)
        .map(|n| {
            format!(
                r#"{{"identifier":"usr/share/often{n}","name":"often{n}","srcid":"often{n}","change_time_offset":1,"change_frequency":500,"size":1}}"#
            )
        })
        .collect();
    let list = format!("[{}]", known.join(","));
    let mut options = by_package(6);
    options.chunking = Chunking::Paths;
    options.frequencies = Frequencies::from_json(list.as_bytes()).unwrap();
    root.wrap("image", &DirectoryCommit::default(), &options)
        .unwrap();
    let layers = layers(&root, "image");
    assert_eq!(layers.len(), 6);
    for (components, _) in &layers[1..] {
        let often = components.matches("often").count();
        let rare = components.matches("rare").count();
        assert!(often == 0 || rare == 0, "{components}");
    }
    let rare = layers
        .iter()
        .filter(|(components, _)| components.contains("rare"));
    assert_eq!(rare.count(), 1);
}

#[test]
fn an_update_of_a_package_changes_its_layer_and_no_other() {
    let root = debian();
    root.wrap("v1", &DirectoryCommit::default(), &by_package(64))
        .unwrap();
    let manifest = |name: &str| {
        let manifest = open(&root.reference(name))
            .unwrap()
            .manifest()
            .unwrap()
            .manifest;
        manifest.manifest().clone()
    };
    let mut options = by_package(64);
    options.prior = Some(manifest("v1"));
    root.file("usr/bin/bash", "a newer bash");
    root.file("usr/bin/added", "not packaged");
    root.wrap("v2", &DirectoryCommit::default(), &options)
        .unwrap();
    let (old, new) = (manifest("v1"), manifest("v2"));
    let diff = image::ManifestDiff::new(&old, &new);
    let changed = diff.added.iter().map(|layer| {
        let annotations = layer.annotations().clone().unwrap_or_default();
        annotations
            .get("ostree.components")
            .cloned()
            .unwrap_or_default()
    });
    let mut changed: Vec<_> = changed.collect();
    changed.sort();
    // The commit, what is new, and the package.
    assert_eq!(changed, ["", "bash", "usr/bin"]);
}
