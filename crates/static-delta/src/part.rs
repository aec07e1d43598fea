use std::io::Read as _;
use std::ops::Range;

use liblzma::stream::Stream;
use ostree_format::gvariant::{Type, Value};
use ostree_format::{Checksum, ObjectKind, ObjectName, Xattrs};

use crate::{DeltaError, Operations};

/// The latest version of parts.
const VERSION: u32 = 0;
/// A kind and a checksum.
const OBJECT_LEN: usize = 33;
/// Memory for unpacking: preset 9 of xz needs 65 MiB; a file can ask for four gigabytes.
const UNPACK_MEMORY: u64 = 100 << 20;
/// What a part may unpack to besides twice the size of its objects: tables, operations, control blocks.
const SLACK: u64 = 64 << 20;
/// Bytes of modes, and of extended attributes, that one part may have.
const MAX_TABLE: usize = 64 << 20;

/// What a superblock says of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHeader {
    /// The version of its format.
    pub version: u32,
    /// The checksum of its file.
    pub checksum: Checksum,
    /// Bytes of its file.
    pub size: u64,
    /// Bytes of the objects that it makes.
    pub unpacked_size: u64,
    /// The objects that it makes, in order.
    pub objects: Vec<ObjectName>,
}

/// A part, unpacked.
#[derive(Debug, Clone)]
pub struct Part {
    /// Owners and modes that its files have.
    modes: Vec<(u32, u32, u32)>,
    /// Extended attributes that its files have.
    xattrs: Vec<Xattrs>,
    bytes: Vec<u8>,
    payload: Range<usize>,
    operations: Range<usize>,
}

impl PartHeader {
    /// Check a part's file against its checksum and unpack it.
    ///
    /// # Errors
    /// [`DeltaError`] when it is another file, of a later version, or damaged.
    pub fn open(&self, bytes: &[u8]) -> Result<Part, DeltaError> {
        let (expected, actual) = (self.checksum, Checksum::of(bytes));
        if expected != actual {
            return Err(DeltaError::PartChecksum { expected, actual });
        }
        self.open_unchecked(bytes)
    }

    /// Unpack a part from a source that needs no checksum, as the superblock itself.
    ///
    /// # Errors
    /// As [`PartHeader::open`].
    pub fn open_unchecked(&self, bytes: &[u8]) -> Result<Part, DeltaError> {
        if self.version > VERSION {
            return Err(DeltaError::TooNew(self.version));
        }
        let limit = self.unpacked_size.saturating_mul(2).saturating_add(SLACK);
        match bytes.split_first() {
            Some((0, plain)) => Part::from_bytes(plain.to_vec()),
            Some((b'x', packed)) => Part::from_bytes(unpack(packed, limit)?),
            Some((other, _)) => Err(DeltaError::UnknownCompression(*other)),
            None => Err(DeltaError::InvalidField("part: it is empty")),
        }
    }

    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let [version, checksum, size, unpacked, objects] = value.as_tuple()? else {
            return None;
        };
        Some(Self {
            version: version.as_u32()?,
            checksum: Checksum::from_slice(checksum.as_bytes()?)?,
            size: size.as_u64()?,
            unpacked_size: unpacked.as_u64()?,
            objects: objects_from(objects.as_bytes()?)?,
        })
    }

    pub(crate) fn to_value(&self, swapped: bool) -> Value {
        let mut header = self.clone();
        if swapped {
            header.swap();
        }
        let objects = self.objects.iter().flat_map(|object| {
            std::iter::once(kind_to_byte(object.kind)).chain(*object.checksum.as_bytes())
        });
        Value::Tuple(vec![
            Value::U32(header.version),
            Value::Bytes(self.checksum.as_bytes().to_vec()),
            Value::U64(header.size),
            Value::U64(header.unpacked_size),
            Value::Bytes(objects.collect()),
        ])
    }

    pub(crate) const fn swap(&mut self) {
        self.version = self.version.swap_bytes();
        self.size = self.size.swap_bytes();
        self.unpacked_size = self.unpacked_size.swap_bytes();
    }
}

fn objects_from(bytes: &[u8]) -> Option<Vec<ObjectName>> {
    let object = |bytes: &[u8]| {
        let (kind, checksum) = bytes.split_first()?;
        Some(ObjectName::new(
            Checksum::from_slice(checksum)?,
            kind_from_byte(*kind)?,
        ))
    };
    bytes.chunks(OBJECT_LEN).map(object).collect()
}

/// Libostree's `OstreeObjectType`, as far as a delta makes such objects.
pub(crate) const fn kind_from_byte(byte: u8) -> Option<ObjectKind> {
    match byte {
        1 => Some(ObjectKind::File),
        2 => Some(ObjectKind::DirTree),
        3 => Some(ObjectKind::DirMeta),
        4 => Some(ObjectKind::Commit),
        _ => None,
    }
}

/// The other way; other kinds never are in a delta.
pub(crate) const fn kind_to_byte(kind: ObjectKind) -> u8 {
    match kind {
        ObjectKind::File => 1,
        ObjectKind::DirTree => 2,
        ObjectKind::DirMeta => 3,
        ObjectKind::Commit => 4,
        _ => 0,
    }
}

fn unpack(packed: &[u8], limit: u64) -> Result<Vec<u8>, DeltaError> {
    let stream = Stream::new_stream_decoder(UNPACK_MEMORY, 0)
        .map_err(|error| DeltaError::Packed(error.into()))?;
    let mut out = Vec::new();
    liblzma::bufread::XzDecoder::new_stream(packed, stream)
        .take(limit.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(DeltaError::Packed)?;
    if out.len() as u64 > limit {
        return Err(DeltaError::TooLarge { limit });
    }
    Ok(out)
}

impl Part {
    /// Parse the unpacked form, `(a(uuu)aa(ayay)ayay)`. The payload stays where it is: it is most of the
    /// bytes, so the framing is read here rather than by the generic parser.
    fn from_bytes(bytes: Vec<u8>) -> Result<Self, DeltaError> {
        let invalid = || DeltaError::InvalidField("part: its framing does not fit its size");
        let width = match bytes.len() {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        // The end of the first member stands last.
        let end = |index: usize| -> Option<usize> {
            let at = bytes.len().checked_sub(index.checked_mul(width)?)?;
            let mut wide = [0u8; 8];
            wide.get_mut(..width)?
                .copy_from_slice(bytes.get(at..at.checked_add(width)?)?);
            usize::try_from(u64::from_le_bytes(wide)).ok()
        };
        let table = bytes.len().checked_sub(3 * width).ok_or_else(invalid)?;
        let ends = [end(1), end(2), end(3)].map(|end| end.filter(|end| *end <= table));
        let [Some(modes), Some(xattrs), Some(payload)] = ends else {
            return Err(invalid());
        };
        let within = |range: Range<usize>| bytes.get(range).ok_or_else(invalid);
        let (modes_bytes, xattrs_bytes) = (within(0..modes)?, within(modes..xattrs)?);
        within(xattrs..payload)?;
        Ok(Self {
            modes: modes_from(modes_bytes).ok_or(DeltaError::InvalidField("table of modes"))?,
            xattrs: xattrs_from(xattrs_bytes)?,
            payload: xattrs..payload,
            operations: payload..table,
            bytes,
        })
    }

    /// How many different owners and modes there are.
    #[must_use]
    pub const fn mode_count(&self) -> usize {
        self.modes.len()
    }

    /// How many different sets of extended attributes there are.
    #[must_use]
    pub const fn xattr_count(&self) -> usize {
        self.xattrs.len()
    }

    /// What the operations take from.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload.clone()).unwrap_or_default()
    }

    /// The operations as they are stored.
    #[must_use]
    pub fn program(&self) -> &[u8] {
        self.bytes.get(self.operations.clone()).unwrap_or_default()
    }

    /// The operations, which make `objects` in order.
    #[must_use]
    pub fn operations<'p>(&'p self, objects: &'p [ObjectName]) -> Operations<'p> {
        Operations::new(self, objects)
    }

    /// Owner, group and mode.
    pub(crate) fn mode(&self, index: u64) -> Option<(u32, u32, u32)> {
        self.modes.get(usize::try_from(index).ok()?).copied()
    }

    pub(crate) fn xattrs(&self, index: u64) -> Option<&Xattrs> {
        self.xattrs.get(usize::try_from(index).ok()?)
    }
}

fn modes_from(bytes: &[u8]) -> Option<Vec<(u32, u32, u32)>> {
    if bytes.len() > MAX_TABLE {
        return None;
    }
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
    let triple = |bytes: &[u8]| {
        Some((
            number(bytes.get(0..4)?)?,
            number(bytes.get(4..8)?)?,
            number(bytes.get(8..12)?)?,
        ))
    };
    bytes.chunks(12).map(triple).collect()
}

fn xattrs_from(bytes: &[u8]) -> Result<Vec<Xattrs>, DeltaError> {
    let what = "table of extended attributes";
    if bytes.len() > MAX_TABLE {
        return Err(DeltaError::InvalidField(what));
    }
    let of = Type::array(Xattrs::gvariant_type());
    let table = Value::from_bytes_lenient(&of, bytes)
        .map_err(|source| DeltaError::Malformed { what, source })?;
    let sets = table.as_array().unwrap_or_default();
    let parsed: Option<_> = sets.iter().map(Xattrs::from_value).collect();
    parsed.ok_or(DeltaError::InvalidField(what))
}
