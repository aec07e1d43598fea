//! A repository on disk.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use composefs::{Adopted, Store, StoreError};
use composefs_format::{Algorithm, VerityHasher};
use progress::{Interrupt, Silent};

fn store(base: &Path) -> Store {
    let base = fs::File::open(base).unwrap();
    Store::ensure(base.as_fd(), Path::new("composefs"), Algorithm::Sha512).unwrap()
}

#[test]
fn it_is_private_and_made_once() {
    let scratch = testkit::scratch_dir();
    let base = fs::File::open(scratch.path()).unwrap();
    assert!(
        Store::open(base.as_fd(), Path::new("composefs"))
            .unwrap()
            .is_none()
    );
    store(scratch.path());
    let path = scratch.path().join("composefs");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o700
    );
    let meta = fs::metadata(path.join("meta.json")).unwrap().ino();
    store(scratch.path());
    assert_eq!(fs::metadata(path.join("meta.json")).unwrap().ino(), meta);
    fs::write(path.join("meta.json"), "{}").unwrap();
    let damaged = Store::open(base.as_fd(), Path::new("composefs"));
    assert!(matches!(damaged, Err(StoreError::Meta(_))), "{damaged:?}");
}

/// The file system is made without fs-verity, whatever the kernel has.
#[test]
fn what_cannot_be_verified_is_not_demanded() {
    let fs = testkit::disk::scratch_fs(16 << 20);
    let mut store = store(&fs.path());
    let object = store.begin().unwrap().add_object(&[7; 100]).unwrap();
    let image = store.add_image(b"image", None).unwrap();
    let (silent, interrupt) = (Silent, Interrupt::default());
    assert!(!store.seal_image(&image, &silent, &interrupt).unwrap());
    assert!(!store.is_sealed(&image).unwrap());
    // What was not committed is not there.
    let missing = store.is_sealed(&object);
    assert!(
        matches!(missing, Err(StoreError::Missing { .. })),
        "{missing:?}"
    );
    let refused = store.demand_verity(&silent, &interrupt);
    assert!(matches!(refused, Err(StoreError::NoVerity)), "{refused:?}");
    assert!(!store.demands_verity());
}

/// `cfsctl init` makes nothing but the description.
#[test]
fn one_that_was_only_described_is_completed() {
    let scratch = testkit::scratch_dir();
    let path = scratch.path().join("composefs");
    fs::create_dir(&path).unwrap();
    let meta =
        r#"{"version": 1, "algorithm": "fsverity-sha256-12", "erofs_formats": {"default": 1}}"#;
    fs::write(path.join("meta.json"), meta).unwrap();
    let store = store(scratch.path());
    assert_eq!(
        store.algorithm(),
        Algorithm::Sha256,
        "its own digests count"
    );
    let digest = store.add_image(b"image", None).unwrap();
    assert!(store.has_object(&digest).unwrap());
    assert_eq!(fs::read(path.join("meta.json")).unwrap(), meta.as_bytes());
}

#[test]
fn a_file_is_an_object_by_another_name() {
    let scratch = testkit::scratch_dir();
    let store = store(scratch.path());
    let path = scratch.path().join("file");
    fs::write(&path, [7; 5000]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let file = fs::File::open(&path).unwrap();
    let digest = VerityHasher::digest(Algorithm::Sha512, &[7; 5000]);
    assert_eq!(store.adopt(file.as_fd(), &digest).unwrap(), Adopted::Linked);
    assert_eq!(
        store.adopt(file.as_fd(), &digest).unwrap(),
        Adopted::Present
    );
    let object = store.open_object(&digest).unwrap().metadata().unwrap();
    assert_eq!(object.ino(), fs::metadata(&path).unwrap().ino());
}

/// The file is on another file system than the store.
#[test]
fn what_cannot_be_linked_is_copied() {
    let scratch = testkit::scratch_dir();
    let store = store(scratch.path());
    let path = Path::new("/proc/version");
    let content = fs::read(path).unwrap();
    let digest = VerityHasher::digest(Algorithm::Sha512, &content);
    let file = fs::File::open(path).unwrap();
    assert_eq!(store.adopt(file.as_fd(), &digest).unwrap(), Adopted::Copied);
    let mut object = store.open_object(&digest).unwrap();
    let mut copied = Vec::new();
    std::io::Read::read_to_end(&mut object, &mut copied).unwrap();
    assert_eq!(copied, content);
}

#[test]
fn names_of_images_stay_where_they_belong() {
    let scratch = testkit::scratch_dir();
    let store = store(scratch.path());
    for name in ["", ".", "..", "a/", "/a", "a/../b", "../x"] {
        let error = store.add_image(b"image", Some(name)).unwrap_err();
        assert!(
            matches!(error, StoreError::Name { .. }),
            "{name:?}: {error}"
        );
    }
    let digest = store.add_image(b"image", Some("system")).unwrap();
    let named = scratch.path().join("composefs/images/refs/system");
    assert_eq!(fs::read(named).unwrap(), b"image");
    let listed = scratch.path().join(format!("composefs/images/{digest}"));
    assert_eq!(fs::read(listed).unwrap(), b"image");
}

/// Whoever removes what dead processes left may meet a directory that somebody else has made and not locked yet.
#[test]
fn whoever_begins_at_the_same_time_does_not_disturb_the_other() {
    let scratch = testkit::scratch_dir();
    let store = store(scratch.path());
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..100_u8 {
                    let mut batch = store.begin().unwrap();
                    let digest = batch.add_object(&[thread, round]).unwrap();
                    batch.commit().unwrap();
                    assert!(store.has_object(&digest).unwrap());
                }
            });
        }
    });
    let left = fs::read_dir(scratch.path().join("composefs")).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let staging: Vec<String> = names.filter(|name| name.contains("staging")).collect();
    assert_eq!(staging, Vec::<String>::new());
}
