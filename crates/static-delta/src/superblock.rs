use ostree_format::gvariant::{Type, Value};
use ostree_format::{Checksum, Metadata, ObjectName};

use crate::part::{kind_from_byte, kind_to_byte};
use crate::{DeltaError, DeltaName, Endianness, PartHeader};

/// The commit is kept as it stands: `(a{sv}aya(say)sstayay)`.
const TYPE: &str = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";
const WHAT: &str = "superblock";

/// What a static delta is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Superblock {
    /// Metadata of whoever made it; parts that stand in the superblock, and detached metadata of the commit,
    /// are here too.
    pub metadata: Metadata,
    /// When it was made, in seconds since 1970 UTC.
    pub timestamp: u64,
    /// From which commit to which.
    pub name: DeltaName,
    /// The bytes of the commit object that it leads to. Not checked against the name.
    pub commit: Vec<u8>,
    /// Deltas that are to be applied before this one; nobody writes any.
    pub dependencies: Vec<DeltaName>,
    /// Its parts, in order.
    pub parts: Vec<PartHeader>,
    /// Objects that it does not contain.
    pub fallbacks: Vec<Fallback>,
    /// The byte order of the lists.
    pub endianness: Endianness,
}

/// An object that a static delta leaves to be fetched by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// The object.
    pub object: ObjectName,
    /// Bytes that it takes in the repository that the delta is from.
    pub size: u64,
    /// Bytes of its content.
    pub unpacked_size: u64,
}

impl Superblock {
    /// Parse the stored form, without an envelope; see [`crate::DeltaFile`].
    ///
    /// # Errors
    /// [`DeltaError`] when the bytes are malformed or hold something else than checksums and known kinds of
    /// objects where these belong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DeltaError> {
        let malformed = |source| DeltaError::Malformed { what: WHAT, source };
        let of: Type = TYPE
            .parse()
            .map_err(|e| malformed(ostree_format::gvariant::Error::InvalidType(e)))?;
        let value = Value::from_bytes_lenient(&of, bytes).map_err(malformed)?;
        let Value::Tuple(members) = value else {
            return Err(DeltaError::InvalidField(WHAT));
        };
        let [
            metadata,
            timestamp,
            from,
            to,
            commit,
            dependencies,
            parts,
            fallbacks,
        ] = members.as_slice()
        else {
            return Err(DeltaError::InvalidField(WHAT));
        };
        let metadata =
            Metadata::from_value(metadata).ok_or(DeltaError::InvalidField("metadata"))?;
        let mut parts = list(parts, PartHeader::from_value)?;
        let endianness = match metadata.get(Endianness::KEY) {
            Some(Value::Byte(byte)) => Endianness::from_byte(*byte),
            _ => Endianness::guess(&parts),
        };
        let mut fallbacks = list(fallbacks, Fallback::from_value)?;
        if endianness.is_swapped() {
            parts.iter_mut().for_each(PartHeader::swap);
            fallbacks.iter_mut().for_each(Fallback::swap);
        }
        Ok(Self {
            metadata,
            timestamp: timestamp.as_u64().unwrap_or_default().swap_bytes(),
            name: DeltaName {
                from: optional_checksum(from)?,
                to: optional_checksum(to)?.ok_or(DeltaError::InvalidField("target"))?,
            },
            commit: commit.to_bytes(),
            dependencies: dependencies_from(dependencies)?,
            parts,
            fallbacks,
            endianness,
        })
    }

    /// The stored form.
    ///
    /// # Errors
    /// [`DeltaError::Malformed`] when [`Superblock::commit`] is no commit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DeltaError> {
        let malformed = |source| DeltaError::Malformed {
            what: "commit",
            source,
        };
        let mut metadata = self.metadata.clone();
        metadata.insert(Endianness::KEY, Value::Byte(self.endianness.to_byte()));
        let of: Type = TYPE
            .parse()
            .map_err(|e| malformed(ostree_format::gvariant::Error::InvalidType(e)))?;
        let Type::Tuple(members) = &of else {
            return Err(DeltaError::InvalidField(WHAT));
        };
        let [_, _, _, _, commit, _, parts, fallbacks] = members.as_slice() else {
            return Err(DeltaError::InvalidField(WHAT));
        };
        let element = |array: &Type| match array {
            Type::Array(element) => (**element).clone(),
            other => other.clone(),
        };
        let swapped = self.endianness.is_swapped();
        let headers = self.parts.iter().map(|part| part.to_value(swapped));
        let left = self.fallbacks.iter().map(|object| object.to_value(swapped));
        let dependencies = self.dependencies.iter().flat_map(|name| {
            let from = name.from.map_or([0; 32], |from| *from.as_bytes());
            [from, *name.to.as_bytes()].concat()
        });
        Ok(Value::Tuple(vec![
            metadata.to_value(),
            Value::U64(self.timestamp.swap_bytes()),
            Value::Bytes(
                self.name
                    .from
                    .map(|c| c.as_bytes().to_vec())
                    .unwrap_or_default(),
            ),
            Value::Bytes(self.name.to.as_bytes().to_vec()),
            Value::from_bytes(commit, &self.commit).map_err(malformed)?,
            Value::Bytes(dependencies.collect()),
            Value::Array(element(parts), headers.collect()),
            Value::Array(element(fallbacks), left.collect()),
        ])
        .to_bytes())
    }

    /// The bytes of a part that stands in the superblock, as they would be in its file.
    ///
    /// They need no checksum: whatever vouches for the superblock vouches for them.
    #[must_use]
    pub fn inline_part(&self, index: usize) -> Option<Vec<u8>> {
        match self.metadata.get(&self.name.part_path(index))? {
            Value::Tuple(members) => match members.as_slice() {
                [Value::Byte(packing), Value::Bytes(bytes)] => {
                    let mut part = Vec::with_capacity(bytes.len().saturating_add(1));
                    part.push(*packing);
                    part.extend_from_slice(bytes);
                    Some(part)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Put a part into the superblock; `bytes` are those of its file.
    pub fn set_inline_part(&mut self, index: usize, bytes: &[u8]) {
        if let Some((packing, rest)) = bytes.split_first() {
            let pair = vec![Value::Byte(*packing), Value::Bytes(rest.to_vec())];
            self.metadata
                .insert(&self.name.part_path(index), Value::Tuple(pair));
        }
    }

    /// The detached metadata of the commit that the delta leads to.
    #[must_use]
    pub fn detached_metadata(&self) -> Option<Metadata> {
        Metadata::from_value(self.metadata.get(&self.detached_key())?)
    }

    /// Set [`Superblock::detached_metadata`].
    pub fn set_detached_metadata(&mut self, metadata: &Metadata) {
        let key = self.detached_key();
        self.metadata.insert(&key, metadata.to_value());
    }

    fn detached_key(&self) -> String {
        format!("{}/commitmeta", self.name.directory())
    }
}

impl Fallback {
    fn from_value(value: &Value) -> Option<Self> {
        let [Value::Byte(kind), checksum, size, unpacked] = value.as_tuple()? else {
            return None;
        };
        let checksum = Checksum::from_slice(checksum.as_bytes()?)?;
        Some(Self {
            object: ObjectName::new(checksum, kind_from_byte(*kind)?),
            size: size.as_u64()?,
            unpacked_size: unpacked.as_u64()?,
        })
    }

    fn to_value(self, swapped: bool) -> Value {
        let mut object = self;
        if swapped {
            object.swap();
        }
        Value::Tuple(vec![
            Value::Byte(kind_to_byte(object.object.kind)),
            Value::Bytes(object.object.checksum.as_bytes().to_vec()),
            Value::U64(object.size),
            Value::U64(object.unpacked_size),
        ])
    }

    const fn swap(&mut self) {
        self.size = self.size.swap_bytes();
        self.unpacked_size = self.unpacked_size.swap_bytes();
    }
}

fn list<T>(value: &Value, parse: fn(&Value) -> Option<T>) -> Result<Vec<T>, DeltaError> {
    let elements = value.as_array().unwrap_or_default();
    let parsed: Option<_> = elements.iter().map(parse).collect();
    parsed.ok_or(DeltaError::InvalidField("list of parts or objects"))
}

fn optional_checksum(value: &Value) -> Result<Option<Checksum>, DeltaError> {
    match value.as_bytes().unwrap_or_default() {
        [] => Ok(None),
        bytes => Checksum::from_slice(bytes)
            .map(Some)
            .ok_or(DeltaError::InvalidField("checksum of a commit")),
    }
}

fn dependencies_from(value: &Value) -> Result<Vec<DeltaName>, DeltaError> {
    let pair = |bytes: &[u8]| {
        let (from, to) = bytes.split_at_checked(Checksum::LEN)?;
        Some(DeltaName {
            from: Checksum::from_slice(from).filter(|from| from.as_bytes() != &[0; 32]),
            to: Checksum::from_slice(to)?,
        })
    };
    let chunks = value.as_bytes().unwrap_or_default().chunks(64);
    let names: Option<_> = chunks.map(pair).collect();
    names.ok_or(DeltaError::InvalidField("list of dependencies"))
}
