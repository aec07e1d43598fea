//! Digests and images, compared with those that libcomposefs and fsverity-utils made.

use composefs_format::{Algorithm, Digest, VerityHasher};
use proptest::prelude::*;

/// A file, its digest by `fsverity digest`.
fn fsverity(algorithm: &str, content: &[u8]) -> Digest {
    let dir = testkit::scratch_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, content).unwrap();
    let mut command = testkit::command("fsverity");
    command
        .args(["digest", "--compact", "--hash-alg", algorithm])
        .arg(&file);
    testkit::stdout(&mut command).trim().parse().unwrap()
}

/// Bytes that are not all alike.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 + n / 4096) as u8).collect()
}

#[test]
fn digests_are_those_of_fsverity_at_every_edge_of_blocks_and_levels() {
    let block = 4096;
    let sizes = [
        0,
        1,
        block - 1,
        block,
        block + 1,
        64 * block,
        64 * block + 1,
        128 * block - 1,
        128 * block,
        128 * block + 1,
        128 * 128 * block / 64 + 7,
    ];
    for size in sizes {
        let content = bytes(size);
        for (algorithm, name) in [(Algorithm::Sha256, "sha256"), (Algorithm::Sha512, "sha512")] {
            let ours = VerityHasher::digest(algorithm, &content);
            assert_eq!(ours, fsverity(name, &content), "{name} of {size} bytes");
        }
    }
}

#[test]
fn files_together_have_the_digests_that_each_has_by_itself() {
    let sizes = [
        5 * 4096 + 3,
        0,
        1,
        4096,
        70 * 4096,
        4097,
        12,
        8 * 4096,
        64 * 4096 + 1,
        100,
    ];
    let contents: Vec<Vec<u8>> = sizes.into_iter().map(bytes).collect();
    let together: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    for (algorithm, name) in [(Algorithm::Sha256, "sha256"), (Algorithm::Sha512, "sha512")] {
        let expected: Vec<Digest> = together
            .iter()
            .map(|content| fsverity(name, content))
            .collect();
        assert_eq!(
            VerityHasher::digests(algorithm, &together),
            expected,
            "{name}"
        );
    }
    assert_eq!(VerityHasher::digests(Algorithm::Sha512, &[]), []);
}

#[test]
fn three_levels_are_those_of_fsverity() {
    let content = bytes(64 * 64 * 4096 + 4097);
    let ours = VerityHasher::digest(Algorithm::Sha512, &content);
    assert_eq!(ours, fsverity("sha512", &content));
}

proptest! {
    #[test]
    fn pieces_do_not_matter(cuts in prop::collection::vec(0usize..9000, 1..8)) {
        let content = bytes(cuts.iter().sum());
        let mut hasher = VerityHasher::new(Algorithm::Sha256);
        let mut rest = content.as_slice();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut);
            hasher.update(piece);
            rest = after;
        }
        prop_assert_eq!(hasher.finish(), VerityHasher::digest(Algorithm::Sha256, &content));
    }
}
