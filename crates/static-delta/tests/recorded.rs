//! Deltas that `ostree static-delta generate` made, as they are and damaged.

use std::fs;

use ostree_format::{Checksum, ObjectName};
use proptest::prelude::*;
use static_delta::{
    Counts, DeltaFile, DeltaName, Endianness, Operation, PartHeader, Superblock, bspatch,
};
use testkit::golden;

const UPDATE: &str = "f161c393db2b61ab94803d9153e3273b6d297fdce4ef6de75c81c64f918496fa-d5db12a3732412399fd2e5f55cb482ac541c0ff3ba1a1e22a979cb96c67102cd";

fn recorded(name: &str) -> Vec<u8> {
    fs::read(golden("delta").join(name)).unwrap()
}

fn inline() -> Superblock {
    Superblock::from_bytes(&recorded("v1-v2.inline.delta")).unwrap()
}

#[test]
fn a_superblock_encodes_to_the_same_bytes() {
    for name in ["v1-v2.inline.delta", "v1-v2.nobsdiff.delta"] {
        let bytes = recorded(name);
        let delta = Superblock::from_bytes(&bytes).unwrap();
        assert_eq!(delta.name.to_string(), UPDATE);
        assert_eq!(delta.endianness, Endianness::Little);
        assert_eq!(Checksum::of(&delta.commit), delta.name.to);
        assert!(delta.to_bytes().unwrap() == bytes, "{name}");
    }
}

/// What `ostree static-delta show` printed of the delta in parts, whose inline twin has the same operations.
#[test]
fn operations_are_those_that_were_shown() {
    let shown = recorded(&format!("show.{UPDATE}.txt"));
    let shown = String::from_utf8(shown).unwrap();
    let delta = inline();
    let header = &delta.parts[0];
    let part = header.open(&delta.inline_part(0).unwrap()).unwrap();
    let counts = Counts::of(part.operations(&header.objects)).unwrap();
    let line = format!(
        "openspliceclose={} open={} write={} setread={} unsetread={} close={} bspatch={}",
        counts.splice,
        counts.open,
        counts.write,
        counts.set_source,
        counts.unset_source,
        counts.close,
        counts.patch
    );
    assert!(shown.contains(&line), "{line}\n{shown}");
    let sizes = format!(
        "nmodes={} nxattrs={} blobsize={} opsize={}",
        part.mode_count(),
        part.xattr_count(),
        part.payload().len(),
        part.program().len()
    );
    assert!(shown.contains(&sizes), "{sizes}\n{shown}");
    let meta = format!("nobjects={}", header.objects.len());
    assert!(shown.contains(&meta), "{meta}");
}

#[test]
fn both_byte_orders_say_the_same() {
    let little = inline();
    let mut big = little.clone();
    big.endianness = Endianness::Big;
    big.metadata.remove("ostree.endianness");
    let parsed = Superblock::from_bytes(&big.to_bytes().unwrap()).unwrap();
    assert_eq!(parsed.endianness, Endianness::Big);
    assert_eq!(parsed.parts, little.parts);
}

#[test]
fn an_envelope_comes_off_again() {
    let superblock = recorded("v1-v2.inline.delta");
    let mut signatures = ostree_format::Metadata::new();
    signatures.insert("ostree.sign.dummy", "not looked at here");
    let file = DeltaFile {
        superblock,
        signatures: Some(signatures),
    };
    assert!(file.is_signed());
    assert!(file.to_bytes().starts_with(b"OSTSGNDT"));
    assert!(DeltaFile::from_bytes(file.to_bytes()).unwrap() == file);
    assert!(DeltaFile::from_bytes(b"OSTSGNDT".to_vec()).is_err());
}

#[test]
fn names_of_other_kinds_of_objects_are_refused() {
    let delta = inline();
    let mut bytes = delta.to_bytes().unwrap();
    let object = delta.parts[0].objects[0];
    let at = bytes
        .windows(32)
        .rposition(|window| window == object.checksum.as_bytes())
        .unwrap();
    bytes[at - 1] = 6;
    assert!(Superblock::from_bytes(&bytes).is_err());
}

/// Follow everything that a delta says.
fn follow(bytes: Vec<u8>) {
    let Ok(file) = DeltaFile::from_bytes(bytes) else {
        return;
    };
    let Ok(delta) = Superblock::from_bytes(&file.superblock) else {
        return;
    };
    for (index, header) in delta.parts.iter().enumerate() {
        if let Some(bytes) = delta.inline_part(index) {
            follow_part(header, &bytes);
        }
    }
}

fn follow_part(header: &PartHeader, bytes: &[u8]) {
    let Ok(part) = header.open_unchecked(bytes) else {
        return;
    };
    let mut size = 0;
    for operation in part.operations(&header.objects) {
        match operation {
            Ok(Operation::Open { size: opened, .. }) => size = opened.min(1 << 20),
            Ok(Operation::Patch(patch)) => {
                let made: usize = bspatch::blocks(patch, size)
                    .flatten()
                    .map(|block| block.sum.len() + block.new.len())
                    .sum();
                assert!(made as u64 <= size);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// The part of the inline delta, without its packing.
fn plain_part() -> (PartHeader, Vec<u8>) {
    let delta = inline();
    let mut header = delta.parts[0].clone();
    header.unpacked_size = 1 << 20;
    let packed = delta.inline_part(0).unwrap();
    let mut unpacked = vec![0];
    std::io::Read::read_to_end(
        &mut liblzma::read::XzDecoder::new(&packed[1..]),
        &mut unpacked,
    )
    .unwrap();
    (header, unpacked)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_superblocks_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = recorded("v1-v2.inline.delta");
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        follow(bytes);
    }

    #[test]
    fn damaged_parts_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        behind in any::<bool>(),
    ) {
        let (header, mut bytes) = plain_part();
        // The operations and the framing are at the end.
        let first = if behind { bytes.len() - 2600 } else { 1 };
        for (place, byte) in changes {
            let place = first + place.index(bytes.len() - first);
            bytes[place] = byte;
        }
        follow_part(&header, &bytes);
    }

    #[test]
    fn random_parts_never_panic(bytes: Vec<u8>, objects in 0usize..3) {
        let (mut header, _) = plain_part();
        header.objects.truncate(objects);
        follow_part(&header, &[&[0], bytes.as_slice()].concat());
        let _names: Vec<ObjectName> = header.objects;
        let _garbage = Superblock::from_bytes(&bytes);
        let _garbage = static_delta::DeltaIndex::from_bytes(&bytes);
        let _name = DeltaName::from_directory("ab", &String::from_utf8_lossy(&bytes));
    }
}
