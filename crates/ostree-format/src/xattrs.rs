use crate::gvariant::{Type, Value};

/// Extended attributes in canonical order: by name, each name once, no empty values.
///
/// Names are given without the terminating NUL that the stored form has. An attribute with an empty
/// value is dropped, as libostree does: a bare repository could not tell it from an absent one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattrs(Vec<(Vec<u8>, Vec<u8>)>);

impl Xattrs {
    /// No attributes.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Set `name` to `value`; an empty value removes it.
    pub fn insert(&mut self, name: &[u8], value: &[u8]) {
        match (self.position(name), value.is_empty()) {
            (Ok(at), true) => drop(self.0.remove(at)),
            (Ok(at), false) => {
                if let Some(pair) = self.0.get_mut(at) {
                    pair.1 = value.to_vec();
                }
            }
            (Err(_), true) => {}
            (Err(at), false) => self.0.insert(at, (name.to_vec(), value.to_vec())),
        }
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.position(name).ok()?;
        self.0.get(at).map(|(_, value)| value.as_slice())
    }

    /// Remove `name`; whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.position(name).map(|at| self.0.remove(at)).is_ok()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(n, v)| (n.as_slice(), v.as_slice()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, name: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(n, _)| n.as_slice().cmp(name))
    }

    /// The type `a(ayay)`.
    #[must_use]
    pub fn gvariant_type() -> Type {
        Type::array(Type::tuple([Type::bytes(), Type::bytes()]))
    }

    /// As a value of type `a(ayay)`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let element = Type::tuple([Type::bytes(), Type::bytes()]);
        let pairs = self.0.iter().map(|(name, value)| {
            let mut terminated = Vec::with_capacity(name.len().saturating_add(1));
            terminated.extend_from_slice(name);
            terminated.push(0);
            Value::Tuple(vec![Value::Bytes(terminated), Value::Bytes(value.clone())])
        });
        Value::Array(element, pairs.collect())
    }

    /// From a parsed `a(ayay)`; `None` when a name has no terminator or the order is not canonical.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for pair in value.as_array()? {
            let [name, content] = pair.as_tuple()? else {
                return None;
            };
            let name = name.as_bytes()?.strip_suffix(&[0])?.to_vec();
            if pairs.last().is_some_and(|(last, _)| *last >= name) || name.contains(&0) {
                return None;
            }
            pairs.push((name, content.as_bytes()?.to_vec()));
        }
        Some(Self(pairs))
    }

    /// The stored form, `a(ayay)`: what `file-xattrs` objects of split-xattrs repositories hold.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_value().to_bytes()
    }

    /// Parse the stored form `a(ayay)`.
    ///
    /// # Errors
    /// [`crate::FormatError`] when the bytes are not in normal form or the names not sorted.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, crate::FormatError> {
        let kind = crate::ObjectKind::FileXattrs;
        let value = Value::from_bytes(&Self::gvariant_type(), bytes)
            .map_err(|source| crate::FormatError::Malformed { kind, source })?;
        Self::from_value(&value).ok_or_else(|| crate::FormatError::InvalidField {
            kind,
            field: "xattrs",
            value: String::new(),
        })
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(pairs: I) -> Self {
        let mut xattrs = Self::new();
        for (name, value) in pairs {
            xattrs.insert(name, value);
        }
        xattrs
    }
}
