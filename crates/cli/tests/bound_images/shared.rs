//! What one store of a machine has, another need not fetch; and its bytes stand on disk once, on any file system.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::Registry;
use testkit::disk::{ScratchFs, is_mounted, scratch_fs, scratch_xfs};
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::{Entry, TarWriter};

use crate::scene::{Scene, image_unit};
use crate::support::{answer, assert_valid, bootroot, ostree};

/// A machine whose physical root is a directory, with podman's storage in it and images beside it.
struct Machine {
    root: PathBuf,
    layout: LayoutBuilder,
    dir: tempfile::TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // skopeo leaves it.
        let mounted = self.storage().join("overlay");
        if is_mounted(&mounted) {
            let _ = testkit::command("umount").arg(&mounted).status();
        }
    }
}

impl Machine {
    fn new(root: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = root.join("root");
        fs::create_dir_all(&root).unwrap();
        let machine = Self {
            layout: LayoutBuilder::new(dir.path().join("images")),
            root,
            dir,
        };
        let storage = machine.storage();
        let conf = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}\"\nrunroot = \"{1}\"\n",
            storage.display(),
            machine.dir.path().join("run").display()
        );
        fs::write(machine.dir.path().join("storage.conf"), conf).unwrap();
        machine
    }

    fn with(root: &Path, image: &Image) -> Self {
        let mut machine = Self::new(root);
        machine.layout.tag("1", image);
        machine
    }

    fn storage(&self) -> PathBuf {
        self.root.join("containers")
    }

    fn image(&self) -> String {
        format!("oci:{}:1", self.layout.dir().display())
    }

    fn command(&self, line: &str) -> Command {
        let mut command = bootroot(&format!("--sysroot {} {line}", self.root.display()));
        self.configure(&mut command);
        command
    }

    fn configure(&self, command: &mut Command) {
        let conf = self.dir.path().join("storage.conf");
        command.env("CONTAINERS_STORAGE_CONF", conf);
    }

    #[track_caller]
    fn run(&self, line: &str) -> String {
        answer(&mut self.command(line))
    }

    fn other(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = testkit::command(program);
        command.args(arguments);
        self.configure(&mut command);
        answer(&mut command)
    }

    /// The layers that the real skopeo reads from podman's storage, by their digests; it hashes them.
    #[track_caller]
    fn assert_layers(&self, name: &str, layers: &[Layer]) {
        let copy = self.dir.path().join("copy");
        let to = format!("dir:{}", copy.display());
        self.other(
            "skopeo",
            &[
                "copy",
                "--quiet",
                &format!("containers-storage:{name}"),
                &to,
            ],
        );
        for layer in layers {
            let blob = copy.join(layer.diff_id().trim_start_matches("sha256:"));
            let blob = fs::read(blob).unwrap();
            assert_eq!(testkit::oci::digest(&blob), layer.diff_id());
        }
        fs::remove_dir_all(copy).unwrap();
    }

    /// Files that podman's layers have, by their names: the last one of each.
    fn file(&self, name: &str) -> fs::Metadata {
        let mut find = testkit::command("find");
        find.arg(self.storage().join("overlay"));
        let found = answer(find.args(["-path", &format!("*/diff/{name}")]));
        fs::symlink_metadata(found.lines().next_back().unwrap()).unwrap()
    }

    fn objects(&self) -> Vec<PathBuf> {
        let mut find = testkit::command("find");
        find.arg(self.root.join("composefs/objects"));
        let found = answer(find.args(["-type", "f"]));
        found.lines().map(PathBuf::from).collect()
    }
}

fn content(number: usize, size: usize) -> Vec<u8> {
    let byte = |at: usize| (at * (number + 3) + at / 251 + number) as u8;
    (0..size).map(byte).collect()
}

/// Layers as systems have them: some files twice, with the same attributes or with others.
fn layers() -> Vec<Layer> {
    let mut base = TarWriter::new().dir("usr", 0o755).dir("usr/bin", 0o755);
    for number in 0..200 {
        let entry = Entry::file(format!("usr/bin/{number}"), content(number, number * 600));
        base = base.entry(&entry.mode(0o755).mtime(1_600_000_000 + number as u64));
    }
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let top = TarWriter::new()
        .entry(
            &Entry::file("usr/bin/7-again", content(7, 4200))
                .mode(0o755)
                .mtime(1_600_000_007),
        )
        .entry(
            &Entry::file("usr/bin/9-other", content(9, 5400))
                .mode(0o4711)
                .owner(3, 4),
        )
        .entry(
            &Entry::file("usr/capable", content(300, 9000))
                .xattr("security.capability", capability),
        )
        .entry(&Entry::hardlink("usr/linked", "usr/capable"))
        .file("usr/small", 0o644, "short")
        .file("usr/empty", 0o644, "");
    vec![Layer::new(base.finish()), Layer::new(top.finish())]
}

fn image() -> Image {
    layers().into_iter().fold(Image::new(), Image::layer)
}

/// Kibibytes that are taken on a file system.
fn taken(disk: &ScratchFs, of: u64) -> u64 {
    testkit::run(&mut testkit::command("sync"));
    (of - disk.free()) / 1024
}

const NAME: &str = "localhost/os:1";

#[test]
fn composefs_and_podman_together_take_little_more_than_one() {
    let disks = [scratch_fs(256 << 20), scratch_xfs(320 << 20)];
    for disk in &disks {
        for composefs_first in [true, false] {
            let free = disk.free();
            let machine = Machine::with(&disk.path(), &image());
            let to_podman = format!(
                "image copy-to-storage --source {} --target {NAME}",
                machine.image()
            );
            let to_composefs = format!("composefs pull {}", machine.image());
            let alone;
            if composefs_first {
                machine.run(&to_composefs);
                alone = taken(disk, free);
                fs::remove_dir_all(machine.layout.dir().join("blobs")).unwrap();
                machine.run(&to_podman);
            } else {
                let to = format!("containers-storage:{NAME}");
                machine.other("skopeo", &["copy", "--quiet", &machine.image(), &to]);
                alone = taken(disk, free);
                for layer in layers() {
                    fs::remove_file(machine.layout.blob(&layer.digest())).unwrap();
                }
                let said = machine.run(&to_composefs);
                assert!(said.contains("2, 0 fetched, 2 from this machine"), "{said}");
            }
            let both = taken(disk, free);
            // Beside the bytes, each store has its directories: 256 of objects at most, some of layers.
            let directories = 4 * (256 + 40);
            assert!(
                both * 100 <= alone * 105 + directories * 100,
                "{composefs_first}: {alone} {both}"
            );
            machine.assert_layers(NAME, &layers());
            let checked = machine.run("composefs check");
            assert!(checked.contains("nothing is wrong"), "{checked}");
            machine.other("podman", &["rmi", NAME]);
            let checked = machine.run("composefs check");
            assert!(checked.contains("nothing is wrong"), "{checked}");
            let root = machine.root.clone();
            drop(machine);
            fs::remove_dir_all(root).unwrap();
        }
    }
}

#[test]
fn files_are_what_podman_would_have_made_of_them() {
    let place = testkit::scratch_dir();
    let machine = Machine::with(place.path(), &image());
    machine.run(&format!("composefs pull {}", machine.image()));
    let line = format!(
        "image copy-to-storage --source {} --target {NAME}",
        machine.image()
    );
    let said = machine.run(&line);
    assert!(said.contains("shared with other stores: "), "{said}");
    let elsewhere = testkit::scratch_dir();
    let theirs = Machine::new(elsewhere.path());
    let to = format!("containers-storage:{NAME}");
    theirs.other("skopeo", &["copy", "--quiet", &machine.image(), &to]);
    let mut checked = 0;
    for layer in fs::read_dir(theirs.storage().join("overlay")).unwrap() {
        let name = layer.unwrap().file_name();
        let diff = Path::new("overlay").join(name).join("diff");
        if theirs.storage().join(&diff).exists() {
            let ours = testkit::manifest(&machine.storage().join(&diff));
            // Which names belong to one file is not told of layers.
            ours.assert_same(&testkit::manifest(&theirs.storage().join(&diff)));
            checked += 1;
        }
    }
    assert_eq!(checked, 2);
    let (again, other) = (
        machine.file("usr/bin/7-again"),
        machine.file("usr/bin/9-other"),
    );
    assert_eq!(
        again.ino(),
        machine.file("usr/bin/7").ino(),
        "everything is the same"
    );
    assert_ne!(
        other.ino(),
        machine.file("usr/bin/9").ino(),
        "attributes differ"
    );
    assert_eq!(
        (other.mode() & 0o7777, other.uid(), other.gid()),
        (0o4711, 3, 4)
    );
    assert_eq!(machine.file("usr/bin/9").mtime(), 1_600_000_009);
}

/// While containers run, and after skopeo did, a directory of the storage is mounted over itself.
#[test]
fn podman_may_have_its_storage_mounted() {
    let place = testkit::scratch_dir();
    let mut machine = Machine::with(place.path(), &image());
    let layer = TarWriter::new().file("other", 0o644, "other");
    machine
        .layout
        .tag("2", &Image::new().layer(Layer::new(layer.finish())));
    let other = format!("oci:{}:2", machine.layout.dir().display());
    let to = "containers-storage:localhost/other:1";
    machine.other("skopeo", &["copy", "--quiet", &other, to]);
    let mounted = machine.storage().join("overlay");
    assert!(is_mounted(&mounted));
    machine.run(&format!("composefs pull {}", machine.image()));
    let line = format!(
        "image copy-to-storage --source {} --target {NAME}",
        machine.image()
    );
    machine.run(&line);
    assert!(machine.file("usr/bin/50").nlink() > 1);
    machine.assert_layers(NAME, &layers());
    let podman = |words: &[&str]| {
        let global = ["--cgroup-manager", "cgroupfs", "--events-backend", "none"];
        machine.other("podman", &[&global, words].concat())
    };
    let create = [
        "create",
        "--network",
        "none",
        "--pull",
        "never",
        NAME,
        "/usr/bin/1",
    ];
    let container = podman(&create);
    let root = podman(&["mount", container.trim()]);
    let root = Path::new(root.trim());
    assert_eq!(
        fs::read(root.join("usr/bin/50")).unwrap(),
        content(50, 50 * 600)
    );
    // What a container changes is its own.
    fs::write(root.join("usr/bin/50"), "changed").unwrap();
    podman(&["umount", container.trim()]);
    podman(&["rm", container.trim()]);
    machine.assert_layers(NAME, &layers());
    let checked = machine.run("composefs check");
    assert!(checked.contains("nothing is wrong"), "{checked}");
}

#[test]
fn a_damaged_object_is_not_given_away() {
    let place = testkit::scratch_dir();
    let machine = Machine::with(place.path(), &image());
    machine.run(&format!("composefs pull {}", machine.image()));
    let objects = machine.objects();
    let damaged = objects
        .iter()
        .find(|path| fs::metadata(path).unwrap().len() == 600 * 42);
    fs::write(damaged.unwrap(), content(1, 600 * 42)).unwrap();
    let line = format!(
        "image copy-to-storage --source {} --target {NAME}",
        machine.image()
    );
    let output = machine.command(&line).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(
        text.contains("in the composefs repository cannot be used"),
        "{text}"
    );
}

#[test]
fn killed_while_files_are_shared() {
    let place = testkit::scratch_dir();
    let machine = Machine::with(place.path(), &image());
    let layers = layers();
    let to_podman = format!(
        "image copy-to-storage --source {} --target {NAME}",
        machine.image()
    );
    let to_composefs = format!("composefs pull {}", machine.image());
    let mut killed = 0;
    let mut kill = |line: &str, at: &str| {
        let mut command = machine.command(line);
        let died = command.env("BOOTROOT_CRASH_AT", at).output().unwrap();
        assert_eq!(died.status.signal(), Some(6), "{at}: {died:?}");
        let checked = machine.run("composefs check");
        assert!(checked.contains("nothing is wrong"), "{at}: {checked}");
        machine.other("podman", &["images"]);
        killed += 1;
    };
    machine.run(&to_composefs);
    for nth in [1, 2, 150] {
        kill(&to_podman, &format!("containers:file-linked:{nth}"));
    }
    machine.run(&to_podman);
    machine.assert_layers(NAME, &layers);
    // The other way, where objects have inodes of their own.
    for object in machine.objects() {
        let bytes = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        fs::write(&object, bytes).unwrap();
    }
    for stream in fs::read_dir(machine.root.join("composefs/streams")).unwrap() {
        let stream = stream.unwrap().path();
        if stream.to_string_lossy().contains("oci-layer-") {
            fs::remove_file(stream).unwrap();
        }
    }
    kill(&to_composefs, "composefs:replacements-staged:1");
    kill(&to_composefs, "composefs:object-replaced:1");
    kill(&to_composefs, "composefs:object-replaced:40");
    machine.run(&to_composefs);
    assert_eq!(killed, 6);
    machine.assert_layers(NAME, &layers);
    assert!(machine.file("usr/bin/50").nlink() > 1, "shared again");
}

/// Whole layers of images that are made of commits have the attributes of the objects.
#[test]
fn podman_and_ostree_share_what_a_commit_was_wrapped_as() {
    let disk = scratch_fs(256 << 20);
    let machine = Machine::new(&disk.path());
    let tree = machine.dir.path().join("tree");
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    for number in 0..200 {
        fs::write(
            tree.join(format!("usr/bin/{number}")),
            content(number, number * 600),
        )
        .unwrap();
    }
    let source = machine.dir.path().join("source");
    let at = source.display();
    answer(&mut ostree(&format!("init --mode=bare --repo={at}")));
    answer(&mut ostree(&format!(
        "commit --repo={at} -b main --owner-uid=0 --owner-gid=0 --tree=dir={}",
        tree.display()
    )));
    let image = format!("oci:{}:1", machine.dir.path().join("wrapped").display());
    answer(&mut bootroot(&format!(
        "container encapsulate --repo {at} main {image}"
    )));
    answer(&mut bootroot(&format!(
        "ostree admin init-fs --modern {}",
        machine.root.display()
    )));
    let free = disk.free();
    machine.run(&format!("image pull {image}"));
    let alone = taken(&disk, free);
    let line = format!("image copy-to-storage --source {image} --target {NAME}");
    for at in ["containers:file-linked:100", "containers:layers-staged:1"] {
        let mut command = machine.command(&line);
        let died = command.env("BOOTROOT_CRASH_AT", at).output().unwrap();
        assert_eq!(died.status.signal(), Some(6), "{at}: {died:?}");
        machine.run("fsck");
    }
    let said = machine.run(&line);
    assert!(said.contains("shared with other stores: "), "{said}");
    let both = taken(&disk, free);
    assert!(
        both * 100 <= alone * 105 + 4 * (256 + 64) * 100,
        "{alone} {both}"
    );
    let du = machine.run("storage du");
    assert!(du.contains("together: "), "{du}");
    machine.run("fsck");
    machine.other("podman", &["rmi", NAME]);
    machine.run("fsck");
    machine.run(&format!(
        "image copy-to-storage --source {image} --target {NAME}"
    ));
    machine.run(&format!("image remove {image}"));
    let copy = machine.dir.path().join("copy");
    let to = format!("dir:{}", copy.display());
    machine.other(
        "skopeo",
        &[
            "copy",
            "--quiet",
            &format!("containers-storage:{NAME}"),
            &to,
        ],
    );
}

#[test]
fn the_system_is_given_to_podman_without_its_registry() {
    let scene = Scene::new(Registry::start());
    let name = format!("{}/os:latest", scene.registry.host());
    scene.publish("2", &[]);
    scene
        .registry
        .push(&scene.host.image("latest"), "os:latest");
    scene.run(&format!("switch registry:{name}"));
    scene.run(&format!("composefs pull registry:{name}"));
    // Nothing more can be had from there.
    fs::remove_dir_all(scene.registry.storage()).unwrap();
    let said = scene.run("image set-unified");
    assert!(
        said.contains("layers: 0 fetched, 1 from this machine (0 B)"),
        "{said}"
    );
    assert_eq!(scene.found_by_podman(), [name]);
    scene.run("fsck");
    let list: Value = serde_json::from_str(&scene.run("image list --json")).unwrap();
    assert!(list["images"].is_array(), "{list}");
}

#[test]
fn what_two_stores_share_is_mended_in_both() {
    let scene = Scene::new(Registry::start());
    let name = scene.name("web");
    let layer = TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/app", 0o755, content(5, 9000));
    scene.push_image("web", &Image::new().layer(Layer::new(layer.finish())));
    scene.run(&format!("composefs pull registry:{name}"));
    scene.publish("2", &[("web.image", image_unit(&name))]);
    let upgraded: Value = serde_json::from_str(&scene.run("upgrade --json")).unwrap();
    assert_valid("upgrade", &upgraded);
    let expected = json!({"total": 1, "fetched": 0, "local": 1});
    assert_eq!(upgraded["bound"]["layers"], expected);
    assert_eq!(upgraded["bound"]["bytes_to_fetch"], 0);
    let mut find = testkit::command("find");
    find.arg(scene.host.sysroot.join("ostree/bootc/storage/overlay"));
    let file = answer(find.args(["-path", "*/diff/usr/app"]));
    let file = Path::new(file.trim_end());
    assert_eq!(fs::metadata(file).unwrap().nlink(), 2);
    let mut bytes = fs::read(file).unwrap();
    bytes[4000] ^= 1;
    fs::write(file, bytes).unwrap();
    let found = scene.command("fsck").output().unwrap();
    assert_eq!(found.status.code(), Some(4), "{found:?}");
    let told = String::from_utf8(found.stdout).unwrap();
    for store in ["composefs: object", "containers: layer"] {
        assert!(told.contains(store), "{told}");
    }
    scene.run("fsck --repair");
    scene.run("fsck");
}

#[test]
fn what_podman_has_is_not_fetched_into_the_repository_of_commits() {
    let place = testkit::scratch_dir();
    let machine = Machine::with(place.path(), &image());
    answer(&mut bootroot(&format!(
        "ostree admin init-fs --modern {}",
        machine.root.display()
    )));
    let to = format!("containers-storage:{NAME}");
    machine.other("skopeo", &["copy", "--quiet", &machine.image(), &to]);
    for layer in layers() {
        fs::remove_file(machine.layout.blob(&layer.digest())).unwrap();
    }
    let said = machine.run(&format!("image pull --composefs {}", machine.image()));
    assert!(
        said.contains("2, 0 fetched, 2 from this machine (0 B)"),
        "{said}"
    );
    machine.run("fsck");
    let du = machine.run("storage du");
    assert!(du.contains("shared and counted once"), "{du}");
}
