//! Images of root directories, beside what `ostree commit` makes of the same directory.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use image::{
    Chunking, DirectoryCommit, EncapsulateDirectoryError, EncapsulateOptions, WrittenImage,
};
use oci::layout::OciDirWriter;
use progress::{Interrupt, Silent};
use tempfile::TempDir;

use crate::support::{Scene, assert_same_lines, open, unencapsulate};

/// A root directory, and where images of it go.
pub(crate) struct Root {
    pub(crate) dir: TempDir,
}

impl Root {
    pub(crate) fn new() -> Self {
        let dir = testkit::scratch_dir();
        fs::create_dir(dir.path().join("root")).unwrap();
        let root = Self { dir };
        root.set_mode("", 0o755);
        root
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let place = self.path(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, content).unwrap();
        self.set_mode(path, 0o644);
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        symlink(target, self.path(path)).unwrap();
    }

    pub(crate) fn wrap(
        &self,
        name: &str,
        commit: &DirectoryCommit,
        options: &EncapsulateOptions,
    ) -> Result<WrittenImage, EncapsulateDirectoryError> {
        let base: OwnedFd = File::open(self.dir.path()).unwrap().into();
        let sink = Box::new(OciDirWriter::create(base.as_fd(), name).unwrap());
        let root: OwnedFd = File::open(self.path("")).unwrap().into();
        let interrupt = Interrupt::default();
        image::encapsulate_directory(root, commit, sink, Some("t"), options, &Silent, &interrupt)
    }

    pub(crate) fn reference(&self, name: &str) -> String {
        format!("oci:{}:t", self.dir.path().join(name).display())
    }

    /// The labels of the image `name`.
    fn labels(&self, name: &str) -> serde_json::Value {
        let source = open(&self.reference(name)).unwrap();
        let manifest = source.manifest().unwrap().manifest;
        let config = source.config(&manifest).unwrap();
        let config: serde_json::Value = serde_json::from_slice(config.bytes()).unwrap();
        config["config"]["Labels"].clone()
    }
}

fn system() -> Root {
    let root = Root::new();
    root.file("usr/bin/tool", "tool");
    root.set_mode("usr/bin/tool", 0o4755);
    fs::hard_link(root.path("usr/bin/tool"), root.path("usr/bin/same")).unwrap();
    root.file("usr/share/empty", "");
    root.file("usr/share/large", vec![7; 700_000]);
    root.file("usr/share/über/näme", "x");
    root.link("usr/lib64", "lib");
    root.file("usr/lib/modules/6.1.0/vmlinuz", "kernel");
    root.file("usr/lib/modules/6.1.0/initramfs.img", "initramfs");
    root.file("usr/lib/libc.so", "libc");
    fs::create_dir_all(root.path("var/tmp")).unwrap();
    root.set_mode("var/tmp", 0o1777);
    let file = root.path("usr/share/large");
    testkit::shell(&format!(
        "setfattr -n user.test -v value {0} && chown 12:34 {0}",
        file.display()
    ));
    root
}

fn chunked() -> EncapsulateOptions {
    let mut options = EncapsulateOptions::default();
    options.chunking = Chunking::Paths;
    options
}

fn commit() -> DirectoryCommit {
    let mut commit = DirectoryCommit::default();
    commit.timestamp = 1_700_000_000;
    commit
}

#[test]
fn the_commit_has_the_tree_that_ostree_makes_of_it() {
    let root = system();
    root.file("usr/etc/hosts", "hosts");
    for (name, options) in [("one", EncapsulateOptions::default()), ("many", chunked())] {
        root.wrap(name, &commit(), &options).unwrap();
        let scene = Scene::new();
        let source = open(&root.reference(name)).unwrap();
        let refname = Some("ours".parse().unwrap());
        unencapsulate(&scene.repo, &*source, refname).unwrap();
        let tree = format!("--tree=dir={}", root.path("").display());
        scene.ostree(&["commit", "-b", "theirs", &tree]);
        assert_same_lines(&scene.listing("ours"), &scene.listing("theirs"));
        scene.assert_clean();
    }
    let labels = root.labels("many");
    assert_eq!(labels["ostree.bootable"], "true");
    assert_eq!(labels["containers.bootc"], "1");
    assert_eq!(labels["ostree.linux"], "6.1.0");
}

#[test]
fn the_same_directory_gives_the_same_bytes() {
    let root = system();
    let mut digests = Vec::new();
    for threads in [1, 3] {
        let mut options = chunked();
        options.compression.threads = threads;
        let image = root
            .wrap(&threads.to_string(), &commit(), &options)
            .unwrap();
        digests.push(image.digest);
    }
    assert_eq!(digests[0], digests[1]);
    // Nothing was written next to the directory but the images.
    let names = fs::read_dir(root.dir.path()).unwrap().count();
    assert_eq!(names, 3);
}

#[test]
fn configuration_is_where_commits_have_it() {
    let root = system();
    root.file("etc/hosts", "hosts");
    let mut with_version = commit();
    with_version.metadata.insert("version", "42");
    with_version.skip = [PathBuf::from("/usr/share/large")].into();
    root.wrap("image", &with_version, &chunked()).unwrap();
    let scene = Scene::new();
    let source = open(&root.reference("image")).unwrap();
    unencapsulate(&scene.repo, &*source, Some("ours".parse().unwrap())).unwrap();
    let listing = scene.listing("ours");
    assert!(listing.contains(" /usr/etc/hosts\n"), "{listing}");
    assert!(!listing.contains(" /etc"), "{listing}");
    assert!(!listing.contains("/usr/share/large"), "{listing}");
    assert_eq!(
        root.labels("image")["org.opencontainers.image.version"],
        "42"
    );
}

#[test]
fn labels_are_those_of_the_policy_in_the_directory() {
    let root = system();
    root.file(
        "etc/selinux/config",
        "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    );
    let files = "etc/selinux/targeted/contexts/files";
    let contexts = "/.*\tsystem_u:object_r:default_t:s0\n/usr/bin/.*\t--\tsystem_u:object_r:bin_t:s0\n\
                    /etc(/.*)?\tsystem_u:object_r:etc_t:s0\n";
    root.file(&format!("{files}/file_contexts"), contexts);
    root.file(
        &format!("{files}/file_contexts.subs_dist"),
        "/usr/etc /etc\n",
    );
    root.wrap("image", &commit(), &chunked()).unwrap();
    let scene = Scene::new();
    let source = open(&root.reference("image")).unwrap();
    unencapsulate(&scene.repo, &*source, Some("ours".parse().unwrap())).unwrap();
    for (path, label) in [
        ("/usr/bin/tool", "bin_t"),
        ("/usr/etc/selinux/config", "etc_t"),
        ("/usr/lib64", "default_t"),
        ("/usr", "default_t"),
    ] {
        let line = scene.ostree(&["ls", "-d", "-X", "ours", path]);
        assert!(line.contains(&format!("object_r:{label}:s0")), "{line}");
    }
}

#[test]
fn what_a_commit_cannot_hold_is_refused() {
    let root = system();
    root.file("etc/hosts", "hosts");
    root.file("usr/etc/hosts", "hosts");
    let refused = root.wrap("image", &commit(), &chunked());
    assert!(
        matches!(refused, Err(EncapsulateDirectoryError::TwoEtc)),
        "{refused:?}"
    );
    fs::remove_dir_all(root.path("etc")).unwrap();
    testkit::shell(&format!("mkfifo {}", root.path("usr/fifo").display()));
    let refused = root.wrap("image", &commit(), &chunked()).unwrap_err();
    assert!(refused.to_string().contains("/usr/fifo"), "{refused}");
    fs::remove_file(root.path("usr/fifo")).unwrap();
    let mut by_package = chunked();
    by_package.chunking = Chunking::Packages;
    let refused = root.wrap("image", &commit(), &by_package).unwrap_err();
    assert!(
        refused.to_string().contains("no database of packages"),
        "{refused}"
    );
    assert!(!Path::new(&root.dir.path().join("image/index.json")).exists());
}
