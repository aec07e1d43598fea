//! Images that the real programs wrote, read and written again; images and streams that somebody damaged.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use composefs_format::{
    Algorithm, Attributes, Digest, File, ImageTree, Piece, Special, Stream, StreamError,
    StreamWriter, Timestamp, Version, image, image_objects, read_image,
};
use proptest::prelude::*;
use tree::{Dir, Name, Node};

/// All images in the repositories that `cfsctl` made, and those that libostree made.
fn recorded() -> Vec<(PathBuf, Vec<u8>)> {
    let golden = testkit::golden("composefs-rs");
    let mut images = Vec::new();
    for repository in ["v1-sha512", "v1-sha256", "v2-sha512"] {
        for entry in std::fs::read_dir(golden.join(repository).join("images")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                images.push((path.clone(), std::fs::read(path).unwrap()));
            }
        }
    }
    for name in ["v1.cfs.gz", "v1-noverity.cfs.gz"] {
        let path = testkit::golden("composefs").join(name);
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).unwrap();
        flate2::read::GzDecoder::new(file)
            .read_to_end(&mut bytes)
            .unwrap();
        images.push((path, bytes));
    }
    assert_eq!(images.len(), 14);
    images
}

#[test]
fn what_was_read_is_written_as_it_was() {
    for (path, bytes) in recorded() {
        let (tree, version) = read_image(&bytes).unwrap();
        let written = image(&tree, version).unwrap();
        assert!(written == bytes, "{}", path.display());
    }
}

/// The objects that an image refers to, as the real program tells them.
#[test]
fn objects_are_those_that_composefs_info_tells() {
    let golden = testkit::golden("composefs");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(golden.join("v1.cfs.gz")).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    let told = std::fs::read_to_string(golden.join("v1.objects")).unwrap();
    let told: std::collections::BTreeSet<&str> = told.lines().collect();
    let ours = image_objects(&bytes).unwrap();
    assert!(!told.is_empty());
    assert_eq!(told, ours.keys().map(String::as_str).collect());
    assert!(ours.values().all(Option::is_some));
}

/// A tree with everything that an image can have.
fn whole() -> ImageTree {
    let attributes = |seed: u32| Attributes {
        uid: seed * 40_000,
        gid: seed,
        permissions: 0o640 + seed,
        mtime: Timestamp {
            seconds: 100 + u64::from(seed % 3),
            nanoseconds: seed % 2,
        },
        xattrs: vec![
            (b"lustre.x".to_vec(), b"shared".to_vec()),
            (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
            (b"user.a".to_vec(), vec![1; (seed % 5) as usize]),
        ],
    };
    let digest = Digest::Sha256([7; 32]);
    let external = |size| File::External {
        attributes: attributes(3),
        size,
        object: digest.object_path(),
        digest: Some(digest),
    };
    let linked = Arc::new(external(70_000));
    let files = [
        ("empty", File::Empty(attributes(1))),
        ("external", external(1 << 40)),
        ("inline", File::Inline(attributes(2), vec![5; 64])),
        ("link", File::Symlink(attributes(1), b"target".to_vec())),
        ("long", File::Symlink(attributes(1), vec![b'x'; 4000])),
        ("linked-1", File::Linked(Arc::clone(&linked))),
        ("linked-2", File::Linked(linked)),
        (
            "null",
            File::Special(attributes(0), Special::Character(259)),
        ),
        ("disk", File::Special(attributes(0), Special::Block(2049))),
        ("pipe", File::Special(attributes(4), Special::Fifo)),
        ("socket", File::Special(attributes(4), Special::Socket)),
        (
            "whiteout",
            File::Special(attributes(5), Special::Character(0)),
        ),
    ];
    let mut root = Dir::new(attributes(9));
    let mut dir = Dir::new(attributes(6));
    for (name, file) in files {
        let name = Name::new(name.as_bytes()).unwrap();
        root.children.insert(name.clone(), Node::Leaf(file.clone()));
        dir.children.insert(name, Node::Leaf(file));
    }
    let many = (0..300).map(|n| Name::new(format!("{n:060}").as_bytes()).unwrap());
    for name in many {
        dir.children
            .insert(name, Node::Leaf(File::Empty(attributes(1))));
    }
    root.children
        .insert(Name::new(b"dir").unwrap(), Node::Dir(dir));
    root.children.insert(
        Name::new(b"aa").unwrap(),
        Node::Dir(Dir::new(attributes(1))),
    );
    root
}

#[test]
fn everything_that_can_be_written_is_read() {
    for version in [Version::V0, Version::V1, Version::V2] {
        let bytes = image(&whole(), version).unwrap();
        let (tree, found) = read_image(&bytes).unwrap();
        assert_eq!(found, version);
        if version != Version::V2 {
            assert_eq!(leaves(&tree), leaves(&whole()), "{version:?}");
        }
        assert!(image(&tree, version).unwrap() == bytes, "{version:?}");
        let dir = tree.get([b"dir".as_slice()]).and_then(Node::as_dir);
        assert_eq!(dir.unwrap().children.len(), 312, "{version:?}");
        let null = tree.get([b"null".as_slice()]).and_then(Node::as_leaf);
        assert!(
            matches!(null, Some(File::Special(_, Special::Character(259)))),
            "{null:?}"
        );
        let File::Linked(one) = leaf(&tree, "linked-1") else {
            panic!("it has one name")
        };
        let File::Linked(other) = leaf(&tree, "linked-2") else {
            panic!("it has one name")
        };
        assert!(Arc::ptr_eq(one, other));
    }
}

fn leaves(tree: &ImageTree) -> Vec<(String, File)> {
    let mut leaves = Vec::new();
    tree.try_for_each_leaf(&mut |path, file: &File| {
        leaves.push((path.escape_ascii().to_string(), file.clone()));
        Ok::<_, ()>(())
    })
    .unwrap();
    leaves
}

fn leaf<'t>(tree: &'t ImageTree, name: &str) -> &'t File {
    tree.get([name.as_bytes()]).unwrap().as_leaf().unwrap()
}

static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let versions = [Version::V1, Version::V2];
    versions
        .map(|version| image(&whole(), version).unwrap())
        .into()
});

fn stream() -> Vec<u8> {
    let mut writer = StreamWriter::new(Algorithm::Sha512, *b"ocilayer").unwrap();
    let objects = [Digest::Sha512([1; 64]), Digest::Sha512([2; 64])];
    writer.refer("sha256:one", objects[0]);
    for number in 0..50_u8 {
        writer.bytes(&[number; 700]);
        let object = objects[usize::from(number % 2)];
        writer.object(object, 1000).unwrap();
    }
    writer.bytes(b"end");
    writer.finish().unwrap()
}

fn pieces(stream: &Stream) -> Result<(Vec<u8>, Vec<Digest>), StreamError> {
    let (mut bytes, mut objects) = (Vec::new(), Vec::new());
    stream.pieces(|piece| {
        match piece {
            Piece::Bytes(piece) => bytes.extend_from_slice(piece),
            Piece::Object(object) => objects.push(*object),
        }
        Ok::<_, StreamError>(())
    })?;
    Ok((bytes, objects))
}

#[test]
fn a_stream_comes_back_as_it_went() {
    let read = Stream::from_bytes(stream(), Algorithm::Sha512).unwrap();
    assert_eq!(read.content, *b"ocilayer");
    assert_eq!(read.size, 50 * 1700 + 3);
    assert_eq!(read.objects.len(), 2);
    assert_eq!(read.names["sha256:one"], Digest::Sha512([1; 64]));
    let (bytes, objects) = pieces(&read).unwrap();
    assert_eq!((bytes.len(), objects.len()), (50 * 700 + 3, 50));
    assert_eq!(bytes[700..1400], [1; 700]);
    let other = Stream::from_bytes(stream(), Algorithm::Sha256);
    assert_eq!(other.unwrap_err(), StreamError::Unsupported);
}

/// Every stream of a repository that `cfsctl` made.
#[test]
fn streams_of_the_real_program_are_read() {
    let dir = testkit::golden("composefs-rs").join("v1-sha512/streams");
    let mut layers = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.ends_with(Path::new("refs")) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let read = Stream::from_bytes(bytes, Algorithm::Sha512).unwrap();
        let (bytes, objects) = pieces(&read).unwrap();
        if read.content == *b"ocilayer" {
            layers += 1;
            assert!(bytes.len() % 512 + objects.len() > 0 && read.names.is_empty());
            assert!(read.size.is_multiple_of(512), "{}", path.display());
        } else {
            assert_eq!((bytes.len(), objects.len()), (0, 1), "{}", path.display());
        }
    }
    assert_eq!(layers, 3);
}

proptest! {
    /// Whatever a damaged image says, reading it ends, and with an answer or an error.
    #[test]
    fn damaged_images_are_read_or_refused(
        which in 0..2_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = IMAGES[which].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((tree, version)) = read_image(&bytes) {
            // What can be read can be written, or has something that no image has room for.
            drop(image(&tree, version));
        }
    }

    #[test]
    fn damaged_streams_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = stream();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(stream) = Stream::from_bytes(bytes, Algorithm::Sha512) {
            drop(pieces(&stream));
        }
    }
}
