use crate::gvariant::{Type, Value};
use crate::{Checksum, FormatError, ObjectKind};

/// A dictionary `a{sv}` that keeps the order it was read or built in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(Vec<(String, Value)>);

impl Metadata {
    /// No entries.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The string under `key`.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Set `key`; an existing entry keeps its place.
    pub fn insert(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(k, _)| k == key) {
            Some(entry) => entry.1 = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Remove `key`; what it held.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a value of type `a{sv}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let entry = Type::DictEntry(Box::new((Type::Str, Type::Variant)));
        let items = self.0.iter().map(|(key, value)| {
            Value::DictEntry(Box::new((Value::from(key.as_str()), value.clone().boxed())))
        });
        Value::Array(entry, items.collect())
    }

    /// From a value of type `a{sv}`.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let entry = |v: &Value| match v {
            Value::DictEntry(pair) => {
                Some((pair.0.as_str()?.to_owned(), pair.1.as_variant()?.clone()))
            }
            _ => None,
        };
        value
            .as_array()?
            .iter()
            .map(entry)
            .collect::<Option<_>>()
            .map(Self)
    }

    /// The serialised `a{sv}`: what `.commitmeta` holds.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_value().to_bytes()
    }

    /// Parse detached metadata.
    ///
    /// Normal form is not asked for: detached metadata is not named by its checksum.
    ///
    /// # Errors
    /// [`FormatError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let kind = ObjectKind::CommitMeta;
        let value = Value::from_bytes_lenient(&Type::vardict(), bytes)
            .map_err(|source| FormatError::Malformed { kind, source })?;
        Self::from_value(&value).ok_or_else(|| invalid(kind, "dictionary"))
    }
}

impl<'a> FromIterator<(&'a str, Value)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(entries: I) -> Self {
        let mut metadata = Self::new();
        for (key, value) in entries {
            metadata.insert(key, value);
        }
        metadata
    }
}

/// A commit object: `(a{sv}aya(say)sstayay)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Metadata, for example `ostree.ref-binding` or `version`.
    pub metadata: Metadata,
    /// The commit before this one.
    pub parent: Option<Checksum>,
    /// Related objects; libostree writes none, but keeps what it reads.
    pub related: Vec<(String, Checksum)>,
    /// First line of the message.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// Seconds since 1970 UTC.
    pub timestamp: u64,
    /// The root's `dirtree`.
    pub contents: Checksum,
    /// The root's `dirmeta`.
    pub meta: Checksum,
}

impl Commit {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let sum = |c: &Checksum| Value::Bytes(c.as_bytes().to_vec());
        let related = self
            .related
            .iter()
            .map(|(name, checksum)| Value::Tuple(vec![Value::from(name.as_str()), sum(checksum)]));
        Value::Tuple(vec![
            self.metadata.to_value(),
            Value::Bytes(
                self.parent
                    .map(|p| p.as_bytes().to_vec())
                    .unwrap_or_default(),
            ),
            Value::Array(related_type(), related.collect()),
            Value::from(self.subject.as_str()),
            Value::from(self.body.as_str()),
            Value::U64(self.timestamp.swap_bytes()),
            sum(&self.contents),
            sum(&self.meta),
        ])
        .to_bytes()
    }

    /// The name of the object.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        Checksum::of(&self.to_bytes())
    }

    /// Parse the stored form.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are malformed or hold invalid checksums.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let kind = ObjectKind::Commit;
        let of = Type::tuple([
            Type::vardict(),
            Type::bytes(),
            Type::array(related_type()),
            Type::Str,
            Type::Str,
            Type::U64,
            Type::bytes(),
            Type::bytes(),
        ]);
        let value = Value::from_bytes(&of, bytes)
            .map_err(|source| FormatError::Malformed { kind, source })?;
        Self::from_value(&value).ok_or_else(|| invalid(kind, "field"))
    }

    fn from_value(value: &Value) -> Option<Self> {
        let [
            metadata,
            parent,
            related,
            subject,
            body,
            timestamp,
            contents,
            meta,
        ] = value.as_tuple()?
        else {
            return None;
        };
        let sum = |v: &Value| Checksum::from_slice(v.as_bytes()?);
        let pair = |v: &Value| match v.as_tuple()? {
            [name, checksum] => Some((name.as_str()?.to_owned(), sum(checksum)?)),
            _ => None,
        };
        Some(Self {
            metadata: Metadata::from_value(metadata)?,
            parent: match parent.as_bytes()? {
                [] => None,
                bytes => Some(Checksum::from_slice(bytes)?),
            },
            related: related
                .as_array()?
                .iter()
                .map(pair)
                .collect::<Option<_>>()?,
            subject: subject.as_str()?.to_owned(),
            body: body.as_str()?.to_owned(),
            timestamp: timestamp.as_u64()?.swap_bytes(),
            contents: sum(contents)?,
            meta: sum(meta)?,
        })
    }
}

fn related_type() -> Type {
    Type::tuple([Type::Str, Type::bytes()])
}

fn invalid(kind: ObjectKind, field: &'static str) -> FormatError {
    FormatError::InvalidField {
        kind,
        field,
        value: String::new(),
    }
}
