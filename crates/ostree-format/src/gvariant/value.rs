use super::{Error, Type, decode, encode};

/// A GVariant value that knows its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `y`
    Byte(u8),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `h`
    Handle(i32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`, as its bits
    F64(u64),
    /// `s`
    Str(String),
    /// `o`
    ObjectPath(String),
    /// `g`
    Signature(String),
    /// `v`
    Variant(Box<Value>),
    /// `m…`: the inner type and the value, if any
    Maybe(Type, Option<Box<Value>>),
    /// `ay`, kept whole
    Bytes(Vec<u8>),
    /// `a…` of anything but bytes: the element type and the elements
    Array(Type, Vec<Value>),
    /// `(…)`
    Tuple(Vec<Value>),
    /// `{kv}`
    DictEntry(Box<(Value, Value)>),
}

impl Value {
    /// The type of this value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match self {
            Self::Bool(_) => Type::Bool,
            Self::Byte(_) => Type::Byte,
            Self::I16(_) => Type::I16,
            Self::U16(_) => Type::U16,
            Self::I32(_) => Type::I32,
            Self::U32(_) => Type::U32,
            Self::Handle(_) => Type::Handle,
            Self::I64(_) => Type::I64,
            Self::U64(_) => Type::U64,
            Self::F64(_) => Type::F64,
            Self::Str(_) => Type::Str,
            Self::ObjectPath(_) => Type::ObjectPath,
            Self::Signature(_) => Type::Signature,
            Self::Variant(_) => Type::Variant,
            Self::Maybe(inner, _) => Type::Maybe(Box::new(inner.clone())),
            Self::Bytes(_) => Type::bytes(),
            Self::Array(element, _) => Type::array(element.clone()),
            Self::Tuple(members) => Type::tuple(members.iter().map(Self::value_type)),
            Self::DictEntry(pair) => {
                Type::DictEntry(Box::new((pair.0.value_type(), pair.1.value_type())))
            }
        }
    }

    /// The serialised form, in normal form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode::write(self, &mut out);
        out
    }

    /// Parse `bytes` as a value of `of`; only normal form is accepted.
    ///
    /// # Errors
    /// [`Error`] says what does not fit.
    pub fn from_bytes(of: &Type, bytes: &[u8]) -> Result<Self, Error> {
        let value = decode::read(of, bytes, super::MAX_DEPTH)?;
        if value.to_bytes() == bytes {
            Ok(value)
        } else {
            Err(Error::NotNormal)
        }
    }

    /// Parse `bytes` without the check for normal form.
    ///
    /// For bytes whose identity does not matter and that other programs may have written loosely.
    ///
    /// # Errors
    /// [`Error`] says what does not fit.
    pub fn from_bytes_lenient(of: &Type, bytes: &[u8]) -> Result<Self, Error> {
        decode::read(of, bytes, super::MAX_DEPTH)
    }

    /// Wrap into a variant.
    #[must_use]
    pub fn boxed(self) -> Self {
        Self::Variant(Box::new(self))
    }

    /// The string, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if this is `ay`.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements, if this is an array of anything but bytes.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(_, elements) => Some(elements),
            _ => None,
        }
    }

    /// The members, if this is a tuple.
    #[must_use]
    pub fn as_tuple(&self) -> Option<&[Self]> {
        match self {
            Self::Tuple(members) => Some(members),
            _ => None,
        }
    }

    /// The number, if this is `u`.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        match self {
            Self::U32(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if this is `t`.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::U64(number) => Some(*number),
            _ => None,
        }
    }

    /// The value inside, if this is a variant.
    #[must_use]
    pub fn as_variant(&self) -> Option<&Self> {
        match self {
            Self::Variant(inner) => Some(inner),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}
