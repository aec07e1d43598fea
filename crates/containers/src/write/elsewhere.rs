//! Files of other stores with the content of a file of the layer: its bytes need not stand on disk twice.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;

use rustix::io::Errno;

/// Bytes that are compared at once.
const PIECE: usize = 64 * 1024;
/// Longest attribute of a file, and longest list of names.
const LONGEST: usize = 64 * 1024;

/// A file of another store that may have the content of a file of the layer. It is compared before it counts.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a file, and whose it is")]
pub struct Elsewhere {
    /// The file, open for reading.
    pub file: File,
    /// Whether only its content matters to its store, so that owner, mode, times and attributes may be changed as long as
    /// it has one name.
    pub is_content: bool,
}

/// Content that comes, beside a file that has the same so far.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) elsewhere: Elsewhere,
    same: u64,
    buffer: Vec<u8>,
}

impl Comparison {
    /// None when it cannot be the same.
    pub(super) fn begin(elsewhere: Elsewhere, size: u64) -> Option<Self> {
        let there = elsewhere.file.metadata().ok()?;
        (there.is_file() && there.len() == size).then(|| Self {
            elsewhere,
            same: 0,
            buffer: vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)],
        })
    }

    /// Whether the file goes on with these bytes.
    pub(super) fn goes_on(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(PIECE) {
            let Some(there) = self.buffer.get_mut(..piece.len()) else {
                return false;
            };
            let read = self.elsewhere.file.read_exact_at(there, self.same);
            if read.is_err() || there != piece {
                return false;
            }
            self.same += piece.len() as u64;
        }
        true
    }

    /// Writes what was the same.
    pub(super) fn copy_to(&self, mut to: &File) -> io::Result<()> {
        let mut from = &self.elsewhere.file;
        from.rewind()?;
        io::copy(&mut from.take(self.same), &mut to)?;
        Ok(())
    }
}

/// Names and values.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// All extended attributes of a file, in order.
pub(super) fn attributes_of(file: &File) -> Result<Attributes, Errno> {
    let mut names = vec![0; LONGEST];
    let length = match rustix::fs::flistxattr(file, &mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    names.truncate(length);
    let mut found = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; LONGEST];
        let length = rustix::fs::fgetxattr(file, name, &mut value)?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}
