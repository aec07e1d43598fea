//! What fetching a commit costs: the sizes of its objects, as `ostree commit --generate-sizes` notes them.
//!
//! Source: the key `ostree.sizes` as libostree reads it (`ostree_commit_get_object_sizes`): for every object
//! its checksum, its size as it is fetched and its unpacked size as variable-length integers of seven bits
//! each, the lowest first, and the number of its kind.

use std::collections::BTreeMap;

use durable::IoContext as _;
use ostree_format::gvariant::{Type, Value};
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName, RepoMode};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use tree::Node;

use crate::{Transaction, Tree, WriteError};

/// The longest header of a packed object that is read for its size.
const HEADER: usize = 128 * 1024;

/// Sizes by checksum and kind.
type Sizes = BTreeMap<(Checksum, u8), (u64, u64)>;

impl Transaction<'_> {
    /// The value of `ostree.sizes` for a tree that this transaction wrote, with the dirtree `contents`.
    ///
    /// # Errors
    /// [`WriteError::UnsupportedMode`] when the repository is no archive, which alone knows packed sizes.
    pub fn object_sizes(&self, contents: &Checksum, tree: &Tree) -> Result<Value, WriteError> {
        if self.repo.mode() != RepoMode::Archive {
            return Err(WriteError::UnsupportedMode(self.repo.mode()));
        }
        let mut sizes = Sizes::new();
        self.note_metadata(*contents, ObjectKind::DirTree, &mut sizes)?;
        self.note_dir(tree, &mut sizes)?;
        let entries = sizes
            .into_iter()
            .map(|((checksum, kind), (packed, unpacked))| {
                let mut entry = checksum.as_bytes().to_vec();
                push_varint(&mut entry, packed);
                push_varint(&mut entry, unpacked);
                entry.push(kind);
                Value::Bytes(entry)
            });
        Ok(Value::Array(Type::bytes(), entries.collect()))
    }

    fn note_dir(&self, tree: &Tree, sizes: &mut Sizes) -> Result<(), WriteError> {
        self.note_metadata(tree.meta, ObjectKind::DirMeta, sizes)?;
        for node in tree.children.values() {
            match node {
                Node::Dir(dir) => {
                    // Written before, so that this only names it.
                    let contents = self.write_tree(dir)?;
                    self.note_metadata(contents, ObjectKind::DirTree, sizes)?;
                    self.note_dir(dir, sizes)?;
                }
                Node::Leaf(checksum) => self.note_file(*checksum, sizes)?,
            }
        }
        Ok(())
    }

    fn note_metadata(
        &self,
        checksum: Checksum,
        kind: ObjectKind,
        sizes: &mut Sizes,
    ) -> Result<(), WriteError> {
        let (size, _) = self.stored(&ObjectName::new(checksum, kind), 0)?;
        let number = if kind == ObjectKind::DirTree { 2 } else { 3 };
        sizes.insert((checksum, number), (size, size));
        Ok(())
    }

    fn note_file(&self, checksum: Checksum, sizes: &mut Sizes) -> Result<(), WriteError> {
        let name = ObjectName::new(checksum, ObjectKind::File);
        let (size, beginning) = self.stored(&name, HEADER)?;
        let header = beginning.get(8..).and_then(|rest| {
            let length = u32::from_be_bytes(beginning.get(..4)?.try_into().ok()?);
            rest.get(..usize::try_from(length).ok()?)
        });
        let parsed = header.and_then(|header| FileHeader::from_archive_header(header).ok());
        let unpacked = parsed.map_or(0, |(header, content)| match header.symlink {
            Some(target) => target.len() as u64,
            None => content,
        });
        sizes.insert((checksum, 1), (size, unpacked));
        Ok(())
    }

    /// The size of an object of this transaction or of the repository, and how it begins.
    fn stored(&self, name: &ObjectName, wanted: usize) -> Result<(u64, Vec<u8>), WriteError> {
        let path = name.loose_path(self.repo.mode());
        let staged = rustix::fs::statat(self.staging.dir(), &path, AtFlags::SYMLINK_NOFOLLOW);
        let dir = match staged {
            Err(Errno::NOENT) => self.repo.objects(),
            other => other
                .map(|_| self.staging.dir())
                .during("look for", &path)?,
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, &path, flags, Mode::empty()).during("open", &path)?;
        let size = rustix::fs::fstat(&file).during("look at", &path)?.st_size;
        let mut beginning = Vec::new();
        let reader = std::io::Read::take(std::fs::File::from(file), wanted as u64);
        std::io::Read::read_to_end(&mut { reader }, &mut beginning).during("read", &path)?;
        Ok((u64::try_from(size).unwrap_or_default(), beginning))
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}
