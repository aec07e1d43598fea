//! Container images in the composefs repository, compared with what `cfsctl` of composefs-rs made of the same ones.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{answer, bootroot, refusal, said};

fn ours(root: &Path, line: &str) -> Command {
    let mut command = bootroot(&format!("--sysroot {} {line}", root.display()));
    command.current_dir(testkit::golden("composefs-rs"));
    command
}

/// The images of composefs for a container image, plain and as it is booted, as `cfsctl` made them.
fn roots(repository: &str, image: &str) -> (String, String) {
    let text = fs::read_to_string(testkit::golden("composefs-rs").join("roots.txt")).unwrap();
    let prefix = format!("{repository} {image} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
    let (plain, boot) = line.unwrap().split_once(' ').unwrap();
    (plain.to_owned(), boot.to_owned())
}

/// An empty repository that is described as `cfsctl init` describes it.
fn described(root: &Path, version: u32, digest: &str) {
    let golden = testkit::golden("composefs-rs").join(format!("v{version}-sha512/meta.json"));
    let meta = fs::read_to_string(golden).unwrap();
    fs::create_dir(root.join("composefs")).unwrap();
    let meta = meta.replace("sha512", digest);
    fs::write(root.join("composefs/meta.json"), meta).unwrap();
}

/// A root whose composefs repository `cfsctl` made.
fn theirs(scratch: &Path, repository: &str) -> PathBuf {
    let root = scratch.join("root");
    fs::create_dir(&root).unwrap();
    let golden = testkit::golden("composefs-rs").join(repository);
    let mut copy = testkit::command("cp");
    copy.arg("-a").arg(golden).arg(root.join("composefs"));
    testkit::run(&mut copy);
    root
}

/// Paths of all objects.
fn objects(root: &Path) -> BTreeSet<String> {
    let mut find = testkit::command("find");
    find.current_dir(root.join("composefs"))
        .args(["objects", "-type", "f"]);
    testkit::stdout(&mut find)
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_image_has_the_roots_that_composefs_rs_gives_it() {
    for (version, digest) in [(1, "sha512"), (1, "sha256"), (2, "sha512"), (2, "sha256")] {
        let scratch = testkit::scratch_dir();
        described(scratch.path(), version, digest);
        for image in ["tricky", "labelled"] {
            let line = format!("composefs pull --bootable oci:oci:{image}");
            let said = answer(&mut ours(scratch.path(), &line));
            let (plain, boot) = roots(&format!("v{version}-{digest}"), image);
            assert!(said.contains(&format!("root:      {plain}\n")), "{said}");
            assert!(said.contains(&format!("boot root: {boot}\n")), "{said}");
        }
        let checked = answer(&mut ours(scratch.path(), "composefs check"));
        assert!(checked.contains("nothing is wrong"), "{checked}");
        let again = answer(&mut ours(
            scratch.path(),
            "composefs pull --bootable oci:oci:tricky",
        ));
        assert!(again.contains("2, 0 fetched"), "{again}");
    }
}

/// Objects but for those of manifests, whose references `cfsctl` leaves to chance, are the same files.
#[test]
fn a_repository_has_the_objects_that_composefs_rs_gives_it() {
    let scratch = testkit::scratch_dir();
    answer(&mut ours(scratch.path(), "composefs init"));
    for image in ["tricky", "labelled"] {
        let line = format!("composefs pull --bootable oci:oci:{image} --name {image}");
        answer(&mut ours(scratch.path(), &line));
    }
    let golden = testkit::golden("composefs-rs").join("v1-sha512");
    let other = theirs(scratch.path(), "v1-sha512");
    let (ours, theirs) = (objects(scratch.path()), objects(&other));
    assert!(theirs.difference(&ours).count() <= 1, "only a manifest");
    assert!(ours.difference(&theirs).count() <= 1, "only a manifest");
    for dir in ["streams", "images", "streams/refs/oci"] {
        let names = |root: &Path| -> BTreeSet<_> {
            let entries = fs::read_dir(root.join(dir)).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect()
        };
        let mut found = names(&scratch.path().join("composefs"));
        found.remove(std::ffi::OsStr::new("refs"));
        let mut expected = names(&golden);
        expected.remove(std::ffi::OsStr::new("refs"));
        assert_eq!(found, expected, "{dir}");
    }
    let link = fs::read_link(scratch.path().join("composefs/streams/refs/oci/tricky")).unwrap();
    assert_eq!(
        link,
        fs::read_link(golden.join("streams/refs/oci/tricky")).unwrap()
    );
    let mode = fs::metadata(scratch.path().join("composefs"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o7777, 0o700);
    let link = fs::read_link(scratch.path().join("ostree/bootc")).unwrap();
    assert_eq!(link, Path::new("../composefs/bootc"));
}

#[test]
fn a_repository_of_cfsctl_is_listed_checked_extended_and_collected() {
    for repository in ["v1-sha512", "v1-sha256", "v2-sha512"] {
        let scratch = testkit::scratch_dir();
        let root = theirs(scratch.path(), repository);
        let listed = answer(&mut ours(&root, "composefs list"));
        for image in ["tricky", "labelled"] {
            let (plain, boot) = roots(repository, image);
            assert!(
                listed.contains(&format!("{image}\n  digest:    sha256:")),
                "{listed}"
            );
            assert!(
                listed.contains(&plain) && listed.contains(&boot),
                "{listed}"
            );
        }
        answer(&mut ours(&root, "composefs check"));
        let line = "composefs pull oci:oci:tricky --name again";
        let pulled = answer(&mut ours(&root, line));
        assert!(pulled.contains("2, 0 fetched"), "{pulled}");
        answer(&mut ours(&root, "composefs remove tricky again"));
        refusal(&mut ours(&root, "composefs remove tricky"), 3);
        let before = objects(&root);
        answer(&mut ours(&root, "composefs prune --dry-run"));
        assert_eq!(objects(&root), before);
        answer(&mut ours(&root, "composefs prune"));
        answer(&mut ours(&root, "composefs check"));
        if repository == "v1-sha512" {
            let golden = testkit::golden("composefs-rs").join("after-gc.txt");
            let left = fs::read_to_string(golden).unwrap();
            let left: BTreeSet<String> = left.lines().map(str::to_owned).collect();
            assert_eq!(objects(&root), left, "what `cfsctl gc` leaves");
        }
    }
}

#[test]
fn what_an_image_needs_is_kept_and_what_is_damaged_is_told() {
    let scratch = testkit::scratch_dir();
    let root = theirs(scratch.path(), "v1-sha256");
    let (plain, _) = roots("v1-sha256", "labelled");
    answer(&mut ours(&root, "composefs remove tricky labelled"));
    answer(&mut ours(&root, &format!("composefs prune --keep {plain}")));
    assert!(root.join("composefs/images").join(&plain).exists());
    let kept = objects(&root);
    assert!(kept.len() > 1, "the image and its files");
    answer(&mut ours(&root, "composefs check"));

    let image = format!("objects/{}/{}", &plain[..2], &plain[2..]);
    let object = kept.iter().find(|path| **path != image).unwrap();
    let file = root.join("composefs").join(object);
    let content = fs::read(&file).unwrap();
    let mut damaged = content.clone();
    damaged[10] ^= 1;
    fs::write(&file, damaged).unwrap();
    let checked = ours(&root, "composefs check").output().unwrap();
    assert!(!checked.status.success());
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.contains("its content is another one"), "{told}");
    fs::remove_file(&file).unwrap();
    let checked = ours(&root, "composefs check").output().unwrap();
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(
        told.contains("is missing") && told.contains(&plain),
        "{told}"
    );
    fs::write(&file, content).unwrap();
    let bytes = fs::read(root.join("composefs").join(&image)).unwrap();
    fs::write(
        root.join("composefs").join(&image),
        &bytes[..bytes.len() / 2],
    )
    .unwrap();
    let checked = ours(&root, "composefs check").output().unwrap();
    assert!(!checked.status.success(), "{}", said(&checked));
}

/// A system with both stores.
fn system(root: &Path) {
    answer(&mut bootroot(&format!(
        "ostree admin init-fs --modern {}",
        root.display()
    )));
}

#[test]
fn both_stores_have_an_image_with_the_same_files() {
    let scratch = testkit::scratch_dir();
    let root = scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    system(&root);
    // First into one, then into both: nothing is written twice then either.
    answer(&mut ours(&root, "image pull oci:oci:labelled"));
    let line = "image pull --composefs --composefs-bootable oci:oci:labelled";
    let pulled = answer(&mut ours(&root, line));
    assert!(pulled.contains("1 fetched"), "{pulled}");
    let listed = answer(&mut ours(&root, "composefs list"));
    let (plain, boot) = roots("v1-sha512", "labelled");
    assert!(
        listed.contains(&plain) && listed.contains(&boot),
        "{listed}"
    );
    answer(&mut ours(&root, "composefs check"));
    answer(&mut ours(&root, "ostree fsck"));
    let shared = |path: &&String| {
        let path = root.join("composefs").join(path);
        fs::metadata(path).unwrap().nlink() > 1
    };
    let names = objects(&root);
    assert_eq!(
        names.iter().filter(shared).count(),
        3,
        "all files of the image"
    );
    let again = answer(&mut ours(&root, line));
    assert!(again.contains("already present"), "{again}");
}

#[test]
fn what_cannot_be_pulled_is_refused() {
    let scratch = testkit::scratch_dir();
    refusal(&mut ours(scratch.path(), "composefs list"), 3);
    refusal(
        &mut ours(scratch.path(), "composefs pull oci:oci:absent"),
        3,
    );
    let line = "composefs pull ostree-remote-image:remote:oci:oci:tricky";
    let told = refusal(&mut ours(scratch.path(), line), 6);
    assert!(told.contains("has no commits"), "{told}");
    let listed = answer(&mut ours(scratch.path(), "composefs list"));
    assert_eq!(listed, "");
}

/// The objects that are files of an image: those with another name in the repository of commits.
fn shared(root: &Path) -> Vec<PathBuf> {
    let paths = objects(root)
        .into_iter()
        .map(|path| root.join("composefs").join(path));
    paths
        .filter(|path| fs::metadata(path).unwrap().nlink() > 1)
        .collect()
}

fn fsck(root: &Path, scratch: &Path, repair: &str) -> std::process::Output {
    ours(root, &format!("fsck {repair}"))
        .current_dir(scratch)
        .output()
        .unwrap()
}

#[test]
fn what_is_damaged_is_told_and_mended() {
    let scratch = testkit::scratch_dir();
    let root = scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    system(&root);
    let (oci, away) = (scratch.path().join("image"), scratch.path().join("away"));
    let image = image_of(&oci, 3, 1250);
    answer(&mut ours(&root, &format!("image pull --composefs {image}")));
    let whole = objects(&root);
    let sound = fsck(&root, scratch.path(), "");
    assert!(sound.status.success(), "{sound:?}");

    // A file that both stores have: the inode is one, so it has to come from the image.
    let file = &shared(&root)[0];
    let mut content = fs::read(file).unwrap();
    content[20] ^= 4;
    fs::write(file, &content).unwrap();
    let told = fsck(&root, scratch.path(), "");
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(4), "{text}");
    assert!(
        text.contains("ostree: ") && text.contains("composefs: "),
        "{text}"
    );
    let mended = fsck(&root, scratch.path(), "--repair");
    assert!(mended.status.success(), "{mended:?}");
    answer(&mut ours(&root, "ostree fsck"));
    assert_eq!(shared(&root).len(), 3, "they share it again");
    assert_eq!(objects(&root), whole);

    // A file that is gone comes from the other store, wherever the image is.
    fs::rename(&oci, &away).unwrap();
    fs::remove_file(&shared(&root)[1]).unwrap();
    assert!(!fsck(&root, scratch.path(), "").status.success());
    let mended = fsck(&root, scratch.path(), "--repair");
    assert!(mended.status.success(), "{mended:?}");
    assert_eq!((shared(&root).len(), objects(&root)), (3, whole.clone()));

    // What no other store has: an image of a root, and every stream in turn.
    let links = fs::read_dir(root.join("composefs/streams")).unwrap();
    let links = links.chain(fs::read_dir(root.join("composefs/images")).unwrap());
    let links: Vec<PathBuf> = links.map(|entry| entry.unwrap().path()).collect();
    let targets = links.iter().filter(|path| path.is_file());
    let targets: Vec<PathBuf> = targets
        .map(|path| fs::canonicalize(path).unwrap())
        .collect();
    assert_eq!(targets.len(), 4);
    for target in targets {
        let content = fs::read(&target).unwrap();
        fs::write(&target, &content[..content.len() / 2]).unwrap();
        let failed = fsck(&root, scratch.path(), "--repair");
        assert!(!failed.status.success(), "the image is away");
        fs::rename(&away, &oci).unwrap();
        let mended = fsck(&root, scratch.path(), "--repair");
        assert!(mended.status.success(), "{}: {mended:?}", target.display());
        assert!(
            fs::read(&target).unwrap() == content,
            "{}",
            target.display()
        );
        fs::rename(&oci, &away).unwrap();
    }
    assert_eq!(objects(&root), whole);
}

/// The points at which a pull can die, at their first passage and at later ones.
const POINTS: [&str; 8] = [
    "composefs:staged",
    "composefs:staged:3",
    "composefs:published",
    "composefs:published:2",
    "composefs:named",
    "composefs:named:2",
    "composefs:named:3",
    "composefs:referred",
];

#[test]
fn a_pull_survives_its_death() {
    let (plain, _) = roots("v1-sha512", "tricky");
    for point in POINTS {
        let scratch = testkit::scratch_dir();
        let root = scratch.path();
        answer(&mut ours(root, "composefs pull oci:oci:labelled"));
        let before = answer(&mut ours(root, "composefs list"));
        let mut pull = ours(root, "composefs pull oci:oci:tricky");
        let died = pull.env("BOOTROOT_CRASH_AT", point).output().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&died.status),
            Some(6),
            "{point}: {died:?}"
        );
        answer(&mut ours(root, "composefs check"));
        let listed = answer(&mut ours(root, "composefs list"));
        assert!(
            listed == before || listed.contains(&plain),
            "{point}: {listed}"
        );
        let again = answer(&mut ours(root, "composefs pull oci:oci:tricky"));
        assert!(again.contains(&plain), "{point}: {again}");
        answer(&mut ours(root, "composefs check"));
        answer(&mut ours(root, "composefs remove oci:oci:tricky"));
        answer(&mut ours(root, "composefs prune"));
        answer(&mut ours(root, "composefs check"));
        let left = fs::read_dir(root.join("composefs")).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(
            left.filter(|name| name.contains("staging")).count(),
            0,
            "{point}"
        );
    }
}

/// An image with so many files of so many words each, which do not compress.
fn image_of(dir: &Path, files: usize, words: usize) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    for path in ["usr/", "usr/lib/"] {
        tar.append_data(&mut header, path, std::io::empty())
            .unwrap();
    }
    let mut state = 1_u64;
    for number in 0..files {
        let content: Vec<u8> = (0..words)
            .flat_map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                ((state >> 32) as u32).to_le_bytes()
            })
            .collect();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, format!("usr/lib/{number}"), &*content)
            .unwrap();
    }
    let layer = testkit::oci::Layer::new(tar.into_inner().unwrap());
    let layer = layer.compression(testkit::oci::Compression::None);
    let mut layout = testkit::oci::LayoutBuilder::new(dir);
    layout.tag("made", &testkit::oci::Image::new().layer(layer));
    layout.reference("made")
}

/// Bytes that a pull takes on a file system of its own.
fn taken(fs: &testkit::disk::ScratchFs, image: &str, options: &str) -> u64 {
    let root = fs.path().join("root");
    fs::create_dir(&root).unwrap();
    system(&root);
    let sync = || testkit::run(testkit::command("sync").arg("-f").arg(fs.path()));
    sync();
    let before = fs.free();
    answer(&mut ours(&root, &format!("image pull {options} {image}")));
    sync();
    before - fs.free()
}

#[test]
fn what_has_no_room_is_not_fetched() {
    let scratch = testkit::scratch_dir();
    let image = image_of(&scratch.path().join("image"), 10, 1 << 20);
    let fs = testkit::disk::scratch_fs(24 << 20);
    let root = fs.path();
    answer(&mut ours(&root, "composefs init"));
    let before = fs.free();
    let refused = refusal(&mut ours(&root, &format!("composefs pull {image}")), 7);
    for text in ["not enough space: at least 4", "bootroot composefs prune"] {
        assert!(refused.contains(text), "{refused}");
    }
    assert_eq!(objects(&root), BTreeSet::new());
    assert!(before - fs.free() < 1 << 20);
}

fn takes_hardly_more(make: fn(u64) -> testkit::disk::ScratchFs) {
    let scratch = testkit::scratch_dir();
    let image = image_of(&scratch.path().join("image"), 2000, 12 * 1024);
    let size = 400 << 20;
    let one = taken(&make(size), &image, "");
    let fs = make(size);
    let both = taken(&fs, &image, "--composefs");
    assert!(
        both * 100 <= one * 103,
        "{one} bytes for one, {both} for both"
    );
    assert!(one > 90 << 20, "{one}");
    let root = fs.path().join("root");
    assert_eq!(shared(&root).len(), 2000);
    // Content by either name is that of the image.
    answer(&mut ours(&root, "composefs check"));
    answer(&mut ours(&root, "ostree fsck"));
}

#[test]
fn both_stores_take_hardly_more_than_one_on_ext4() {
    takes_hardly_more(testkit::disk::scratch_fs);
}

#[test]
fn both_stores_take_hardly_more_than_one_on_xfs() {
    takes_hardly_more(testkit::disk::scratch_xfs);
}
