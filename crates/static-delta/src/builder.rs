use std::collections::HashMap;
use std::hash::Hash;
use std::io::Write as _;

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use ostree_format::gvariant::{Type, Value};
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName, Xattrs};

use crate::rollsum::Match;
use crate::{DeltaError, PartHeader, varint};

/// What libostree packs with: a dictionary of 32 MiB, which is within what its readers allow.
const PRESET: u32 = 8;
const DICTIONARY: usize = 32 << 20;
/// Bytes of a mode in the table.
const MODE_LEN: usize = 12;

/// A part that is being put together.
#[derive(Debug, Clone, Default)]
pub struct PartBuilder {
    modes: Table<(u32, u32, u32)>,
    xattrs: Table<Xattrs>,
    table_bytes: usize,
    payload: Vec<u8>,
    program: Vec<u8>,
    objects: Vec<ObjectName>,
    unpacked_size: u64,
}

/// Values by index, each once.
#[derive(Debug, Clone)]
struct Table<T> {
    values: Vec<T>,
    places: HashMap<T, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    /// The index of `value`, and whether it is new.
    fn add(&mut self, value: &T) -> (u64, bool) {
        if let Some(place) = self.places.get(value) {
            return (*place as u64, false);
        }
        let place = self.values.len();
        self.values.push(value.clone());
        self.places.insert(value.clone(), place);
        (place as u64, true)
    }
}

impl PartBuilder {
    /// Whether it makes no objects yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Bytes that it will have about, before packing.
    #[must_use]
    pub const fn size(&self) -> u64 {
        (self.payload.len() + self.program.len() + self.table_bytes) as u64
    }

    /// Bytes of the objects that it makes.
    #[must_use]
    pub const fn unpacked_size(&self) -> u64 {
        self.unpacked_size
    }

    /// Make a metadata object of `bytes`.
    pub fn metadata(&mut self, object: ObjectName, bytes: &[u8]) {
        let offset = self.store(bytes);
        self.begin(object, bytes.len() as u64);
        self.step(b'S', &[bytes.len() as u64, offset]);
    }

    /// Make a file or a symbolic link whole.
    pub fn file(&mut self, object: Checksum, header: &FileHeader, content: &[u8]) {
        let stored = match &header.symlink {
            Some(target) => target.as_bytes(),
            None => content,
        };
        let (mode, xattrs) = self.header(header);
        let offset = self.store(stored);
        self.begin(
            ObjectName::new(object, ObjectKind::File),
            content.len() as u64,
        );
        self.step(b'S', &[mode, xattrs, stored.len() as u64, offset]);
    }

    /// Make a regular file of what `matches` say is in the file `source` already, and of the rest.
    pub fn matched(
        &mut self,
        object: Checksum,
        header: &FileHeader,
        content: &[u8],
        source: &Checksum,
        matches: &[Match],
    ) {
        let source = self.store(source.as_bytes());
        self.open(object, header, content.len() as u64);
        let mut written = 0u64;
        let mut reading = false;
        for found in matches {
            if found.to > written {
                if std::mem::take(&mut reading) {
                    self.step(b'R', &[]);
                }
                self.append(content, written, found.to);
            }
            if !std::mem::replace(&mut reading, true) {
                self.step(b'r', &[source]);
            }
            self.step(b'w', &[found.length, found.from]);
            written = found.to.saturating_add(found.length);
        }
        if reading {
            self.step(b'R', &[]);
        }
        if (content.len() as u64) > written {
            self.append(content, written, content.len() as u64);
        }
        self.step(b'c', &[]);
    }

    /// Make a regular file of `size` bytes by applying `patch` to the file `source`.
    pub fn patched(
        &mut self,
        object: Checksum,
        header: &FileHeader,
        size: u64,
        source: &Checksum,
        patch: &[u8],
    ) {
        let source = self.store(source.as_bytes());
        self.step(b'r', &[source]);
        self.open(object, header, size);
        let offset = self.store(patch);
        self.step(b'B', &[offset, patch.len() as u64]);
        self.step(b'c', &[]);
        self.step(b'R', &[]);
    }

    /// Pack it: what the superblock says of it, and the bytes of its file.
    ///
    /// # Errors
    /// [`DeltaError::Packed`] when there is not enough memory.
    pub fn finish(self) -> Result<(PartHeader, Vec<u8>), DeltaError> {
        let (objects, unpacked_size) = (self.objects, self.unpacked_size);
        let number = |n: u32| Value::U32(n.swap_bytes());
        let modes = self
            .modes
            .values
            .into_iter()
            .map(|(uid, gid, mode)| Value::Tuple(vec![number(uid), number(gid), number(mode)]));
        let xattrs = self.xattrs.values.iter().map(Xattrs::to_value);
        let part = Value::Tuple(vec![
            Value::Array(
                Type::tuple([Type::U32, Type::U32, Type::U32]),
                modes.collect(),
            ),
            Value::Array(Xattrs::gvariant_type(), xattrs.collect()),
            Value::Bytes(self.payload),
            Value::Bytes(self.program),
        ]);
        let bytes = pack(&part.to_bytes()).map_err(DeltaError::Packed)?;
        let header = PartHeader {
            version: 0,
            checksum: Checksum::of(&bytes),
            size: bytes.len() as u64,
            unpacked_size,
            objects,
        };
        Ok((header, bytes))
    }

    fn open(&mut self, object: Checksum, header: &FileHeader, size: u64) {
        let (mode, xattrs) = self.header(header);
        self.begin(ObjectName::new(object, ObjectKind::File), size);
        self.step(b'o', &[mode, xattrs, size]);
    }

    /// Write what stands in `content` between two places.
    fn append(&mut self, content: &[u8], from: u64, to: u64) {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = content.get(place(from)..place(to)).unwrap_or_default();
        let offset = self.store(bytes);
        self.step(b'w', &[bytes.len() as u64, offset]);
    }

    fn header(&mut self, header: &FileHeader) -> (u64, u64) {
        let (mode, new_mode) = self.modes.add(&(header.uid, header.gid, header.mode));
        let (xattrs, new_xattrs) = self.xattrs.add(&header.xattrs);
        if new_mode {
            self.table_bytes += MODE_LEN;
        }
        if new_xattrs {
            self.table_bytes += header.xattrs.to_bytes().len();
        }
        (mode, xattrs)
    }

    fn begin(&mut self, object: ObjectName, size: u64) {
        self.objects.push(object);
        self.unpacked_size = self.unpacked_size.saturating_add(size);
    }

    /// Append to the payload; where it begins there.
    fn store(&mut self, bytes: &[u8]) -> u64 {
        let offset = self.payload.len() as u64;
        self.payload.extend_from_slice(bytes);
        offset
    }

    fn step(&mut self, code: u8, numbers: &[u64]) {
        self.program.push(code);
        for number in numbers {
            varint::write(&mut self.program, *number);
        }
    }
}

/// The file of a part: how it is packed, then the packed bytes.
fn pack(part: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut options = LzmaOptions::new_preset(PRESET)?;
    // A dictionary that is larger than what is packed costs memory and time, and finds nothing more.
    let dictionary = part.len().clamp(4096, DICTIONARY);
    options.dict_size(u32::try_from(dictionary).unwrap_or(u32::MAX));
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc64)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(vec![b'x'], stream);
    encoder.write_all(part)?;
    encoder.finish()
}
