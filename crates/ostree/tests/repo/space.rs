//! Full disks, reserves, and directories that may not be written to.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use error_class::{Classified as _, ErrorClass};
use ostree::{Expect, Repo, TransactionOptions, WriteError};
use ostree_format::{FileHeader, RepoMode, Xattrs};
use progress::{Interrupt, Silent};
use testkit::disk::scratch_fs;

use crate::oracle::{MODES, assert_clean, init, left_in_tmp, objects, open, theirs};
use crate::transactions::{begin, stage};

/// Write files of 1 MiB until it fails.
fn write_until_full(repo: &Repo) -> WriteError {
    let txn = begin(repo);
    for number in 0..100u8 {
        // Not compressible, so that it needs its space in an archive, too.
        let content = incompressible(number);
        let header = FileHeader::regular(0, 0, 0o644, Xattrs::new());
        let written = txn
            .content_writer(header, content.len() as u64)
            .and_then(|mut writer| {
                content
                    .chunks(65_536)
                    .try_for_each(|piece| writer.write_piece(piece))?;
                writer.finish()
            });
        if let Err(error) = written {
            return error;
        }
    }
    panic!("100 MiB fitted")
}

fn incompressible(seed: u8) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let block = |n: u32| Sha256::digest([&[seed][..], &n.to_be_bytes()].concat());
    (0..32768).flat_map(block).collect()
}

#[test]
fn the_reserve_is_kept() {
    let disk = scratch_fs(64 << 20);
    let path = disk.path().join("repo");
    init(&path, RepoMode::Bare);
    let reserve = (disk.free() >> 20) - 8;
    theirs(
        &path,
        &[
            "config",
            "set",
            "core.min-free-space-size",
            &format!("{reserve}MB"),
        ],
    );
    let repo = open(&path);
    let error = write_until_full(&repo);
    let WriteError::NoSpace {
        needed, available, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(*needed, 1 << 20);
    assert!(*available <= 1 << 20);
    assert_eq!(error.class(), ErrorClass::NoSpace);
    assert!(error.to_string().contains("min-free-space-size"), "{error}");
    assert!(disk.free() >= reserve << 20);
    assert!(left_in_tmp(&path).is_empty());

    // The default of three percent, reached by other files.
    theirs(&path, &["config", "unset", "core.min-free-space-size"]);
    disk.fill_leaving(1 << 20);
    let error = write_until_full(&open(&path));
    assert!(
        error.to_string().contains("min-free-space-percent=3"),
        "{error}"
    );
}

#[test]
fn a_full_disk_leaves_a_clean_repository() {
    for mode in MODES {
        let disk = scratch_fs(48 << 20);
        let path = disk.path().join("repo");
        init(&path, mode);
        theirs(
            &path,
            &["config", "set", "core.min-free-space-percent", "0"],
        );
        let repo = open(&path);
        let txn = begin(&repo);
        let first = stage(&txn, 5, "first");
        txn.set_ref("r".parse().unwrap(), Expect::Absent, Some(first));
        txn.commit(&Silent, &Interrupt::default()).unwrap();
        let before = objects(&repo);
        let txn = begin(&repo);
        // The space goes while the transaction runs, so that the count does not save it.
        disk.fill_leaving(3 << 20);
        let header = FileHeader::regular(0, 0, 0o644, Xattrs::new());
        let error = (0..8u8)
            .map(|n| txn.write_file(&header, &incompressible(n)))
            .find_map(Result::err)
            .expect("3 MiB cannot hold eight files");
        assert_eq!(error.class(), ErrorClass::NoSpace, "{error}");
        // Metadata may still fit; the transaction must fail all the same.
        disk.empty();
        let second = stage(&txn, 2, "second");
        txn.set_ref("r".parse().unwrap(), Expect::Any, Some(second));
        txn.commit(&Silent, &Interrupt::default()).unwrap_err();
        assert_clean(&path);
        assert_eq!(objects(&repo), before, "{mode}");
        assert_eq!(repo.resolve("r").unwrap(), first);
        assert!(left_in_tmp(&path).is_empty());
        let txn = begin(&repo);
        stage(&txn, 2, "second");
        txn.commit(&Silent, &Interrupt::default()).unwrap();
    }
}

#[test]
fn a_read_only_file_system_is_denied() {
    let disk = scratch_fs(16 << 20);
    let path = disk.path().join("repo");
    init(&path, RepoMode::Bare);
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        testkit::run(
            testkit::command("mount")
                .args(["-o", &options])
                .arg(disk.path()),
        );
    };
    remount("ro");
    let repo = open(&path);
    let error = repo.begin(TransactionOptions::default()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied, "{error}");
    assert!(repo.list_refs().unwrap().is_empty());
    let base = fs::File::open(disk.path()).unwrap();
    let error = Repo::init_at(base.as_fd(), Path::new("new"), RepoMode::Bare).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied, "{error}");
    remount("rw");
    drop(begin(&repo));
}
