//! GNU tar and bsdtar must read what this module writes.

use std::fs;
use std::path::Path;

use super::*;
use crate::{command, fails, manifest, run};

fn extract(archive: &[u8]) -> tempfile::TempDir {
    let dir = crate::scratch_dir();
    let file = dir.path().join("archive.tar");
    fs::write(&file, archive).unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    let mut tar = command("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "-p", "-xf"])
        .arg(&file);
    run(tar.arg("-C").arg(dir.path().join("out")));
    dir
}

fn list(archive: &[u8]) -> String {
    let dir = crate::scratch_dir();
    fs::write(dir.path().join("archive.tar"), archive).unwrap();
    let mut tar = command("tar");
    tar.args(["--numeric-owner", "-tvf"])
        .arg(dir.path().join("archive.tar"));
    crate::stdout(&mut tar)
}

fn read(dir: &Path, path: &str) -> Vec<u8> {
    fs::read(dir.join("out").join(path)).unwrap()
}

#[test]
fn ordinary_members_come_out_as_written() {
    let archive = TarWriter::new()
        .dir("d", 0o2750)
        .entry(&Entry::file("d/f", "content").mode(0o4755).owner(1000, 1001))
        .symlink("d/l", "../x")
        .hardlink("d/h", "d/f")
        .entry(&Entry::fifo("d/p"))
        .entry(&Entry::device("d/null", b'3', 1, 3))
        .finish();
    let dir = extract(&archive);
    let tree = manifest(&dir.path().join("out"));
    let seen = tree
        .0
        .iter()
        .map(|(path, e)| format!("{path} {}{:o} {}:{}", e.kind, e.mode, e.uid, e.gid));
    let expected = [
        "/d d2750 0:0",
        "/d/f f4755 1000:1001",
        "/d/h f4755 1000:1001",
        "/d/l l777 0:0",
        "/d/null c644 0:0",
        "/d/p p644 0:0",
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    assert!(list(&archive).contains(" 1,3 "));
}

#[test]
fn long_names_in_all_three_ways() {
    let path = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    for how in [LongNames::Pax, LongNames::Gnu, LongNames::UstarPrefix] {
        let archive = TarWriter::new()
            .entry(&Entry::file(&path, "x").long_names(how))
            .finish();
        assert!(
            list(&archive).ends_with(&path),
            "{how:?}: {}",
            list(&archive)
        );
    }
    for how in [LongNames::Pax, LongNames::Gnu] {
        let archive = TarWriter::new()
            .entry(&Entry::symlink("l", &path).long_names(how))
            .finish();
        assert!(
            list(&archive).ends_with(&path),
            "{how:?}: {}",
            list(&archive)
        );
    }
}

#[test]
fn xattrs_with_binary_values() {
    let value = b"line\nbreak\x00\xff=";
    let archive = TarWriter::new()
        .entry(&Entry::file("f", "").xattr("user.bin", value))
        .finish();
    let tree = manifest(&extract(&archive).path().join("out"));
    assert_eq!(tree.0["/f"].xattrs["user.bin"], hex::encode(value));
}

#[test]
fn huge_numbers_are_base_256() {
    let archive = TarWriter::new()
        .entry(&Entry::file("f", "").owner(u64::from(u32::MAX) - 1, 1 << 24))
        .finish();
    assert!(
        list(&archive).contains("4294967294/16777216"),
        "{}",
        list(&archive)
    );
}

#[test]
fn sparse_files_in_all_four_ways() {
    let chunks: Vec<(u64, Vec<u8>)> = (0..30_u8)
        .map(|n| (u64::from(n) * 8192, vec![n + 1; 1024]))
        .collect();
    let chunks: Vec<(u64, &[u8])> = chunks
        .iter()
        .map(|(at, data)| (*at, data.as_slice()))
        .collect();
    for make in [
        Sparse::old_gnu,
        Sparse::pax_0_0,
        Sparse::pax_0_1,
        Sparse::pax_1_0,
    ] {
        let tail = [(4096, &b"odd"[..]), (300_000 - 5, &b"end.."[..])];
        for chunks in [
            &chunks[..],
            &chunks[..5],
            &chunks[..4],
            &chunks[..1],
            &tail[..1],
            &tail[1..],
            &[],
        ] {
            let sparse = make(300_000, chunks);
            let archive = TarWriter::new()
                .entry(&Entry::sparse("d/sparse", sparse.clone()))
                .file("after", 0o600, "next")
                .finish();
            let dir = extract(&archive);
            assert!(
                read(dir.path(), "d/sparse") == sparse.expanded(),
                "{} chunks",
                chunks.len()
            );
            assert_eq!(read(dir.path(), "after"), b"next");
        }
    }
}

#[test]
fn lies_are_noticed_by_tar() {
    let dir = crate::scratch_dir();
    let file = dir.path().join("bad.tar");
    fs::write(
        &file,
        TarWriter::new()
            .entry(&Entry::file("f", "x").lie_checksum(1))
            .finish(),
    )
    .unwrap();
    fails(command("tar").arg("-tf").arg(&file));
    fs::write(
        &file,
        TarWriter::new()
            .entry(&Entry::file("f", "x").lie_size(1 << 20))
            .finish(),
    )
    .unwrap();
    fails(command("tar").arg("-tf").arg(&file));
}

#[test]
fn global_records_apply_to_what_follows() {
    let archive = TarWriter::new()
        .pax_global(&[("uid", "77")])
        .file("f", 0o644, "")
        .finish();
    assert!(list(&archive).contains("77/0"), "{}", list(&archive));
}
