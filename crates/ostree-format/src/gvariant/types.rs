use std::fmt;
use std::str::FromStr;

/// A GVariant type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// `b`
    Bool,
    /// `y`
    Byte,
    /// `n`
    I16,
    /// `q`
    U16,
    /// `i`
    I32,
    /// `u`
    U32,
    /// `h`
    Handle,
    /// `x`
    I64,
    /// `t`
    U64,
    /// `d`
    F64,
    /// `s`
    Str,
    /// `o`
    ObjectPath,
    /// `g`
    Signature,
    /// `v`
    Variant,
    /// `m…`
    Maybe(Box<Type>),
    /// `a…`
    Array(Box<Type>),
    /// `(…)`
    Tuple(Vec<Type>),
    /// `{kv}`
    DictEntry(Box<(Type, Type)>),
}

/// A string is not one complete GVariant type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a type string")]
pub struct TypeError {
    /// What was given, shortened.
    pub text: String,
}

impl Type {
    /// `a` of `element`.
    #[must_use]
    pub fn array(element: Self) -> Self {
        Self::Array(Box::new(element))
    }

    /// A tuple of `members`.
    #[must_use]
    pub fn tuple(members: impl IntoIterator<Item = Self>) -> Self {
        Self::Tuple(members.into_iter().collect())
    }

    /// `ay`.
    #[must_use]
    pub fn bytes() -> Self {
        Self::array(Self::Byte)
    }

    /// `a{sv}`, the type of metadata dictionaries.
    #[must_use]
    pub fn vardict() -> Self {
        Self::array(Self::DictEntry(Box::new((Self::Str, Self::Variant))))
    }

    /// Alignment in bytes: 1, 2, 4 or 8.
    #[must_use]
    pub fn alignment(&self) -> usize {
        match self {
            Self::Bool | Self::Byte | Self::Str | Self::ObjectPath | Self::Signature => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::Handle => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::Variant => 8,
            Self::Maybe(inner) | Self::Array(inner) => inner.alignment(),
            Self::Tuple(members) => members.iter().map(Self::alignment).max().unwrap_or(1),
            Self::DictEntry(pair) => pair.0.alignment().max(pair.1.alignment()),
        }
    }

    /// Size in bytes, if every value of the type has the same.
    #[must_use]
    pub fn fixed_size(&self) -> Option<usize> {
        match self {
            Self::Bool | Self::Byte => Some(1),
            Self::I16 | Self::U16 => Some(2),
            Self::I32 | Self::U32 | Self::Handle => Some(4),
            Self::I64 | Self::U64 | Self::F64 => Some(8),
            Self::Str | Self::ObjectPath | Self::Signature | Self::Variant => None,
            Self::Maybe(_) | Self::Array(_) => None,
            Self::Tuple(members) => fixed_sequence(members.iter()),
            Self::DictEntry(pair) => fixed_sequence([&pair.0, &pair.1].into_iter()),
        }
    }

    fn parse(text: &[u8], depth: usize) -> Option<(Self, &[u8])> {
        let depth = depth.checked_sub(1)?;
        let (first, rest) = text.split_first()?;
        let basic = match first {
            b'b' => Self::Bool,
            b'y' => Self::Byte,
            b'n' => Self::I16,
            b'q' => Self::U16,
            b'i' => Self::I32,
            b'u' => Self::U32,
            b'h' => Self::Handle,
            b'x' => Self::I64,
            b't' => Self::U64,
            b'd' => Self::F64,
            b's' => Self::Str,
            b'o' => Self::ObjectPath,
            b'g' => Self::Signature,
            b'v' => Self::Variant,
            b'm' | b'a' => {
                let (inner, rest) = Self::parse(rest, depth)?;
                let inner = Box::new(inner);
                let outer = if *first == b'm' {
                    Self::Maybe(inner)
                } else {
                    Self::Array(inner)
                };
                return Some((outer, rest));
            }
            b'(' => return Self::parse_tuple(rest, depth),
            b'{' => return Self::parse_entry(rest, depth),
            _ => return None,
        };
        Some((basic, rest))
    }

    fn parse_tuple(mut rest: &[u8], depth: usize) -> Option<(Self, &[u8])> {
        let mut members = Vec::new();
        loop {
            if let Some(after) = rest.strip_prefix(b")") {
                return Some((Self::Tuple(members), after));
            }
            let (member, after) = Self::parse(rest, depth)?;
            members.push(member);
            rest = after;
        }
    }

    fn parse_entry(rest: &[u8], depth: usize) -> Option<(Self, &[u8])> {
        let (key, rest) = Self::parse(rest, depth)?;
        if matches!(
            key,
            Self::Variant | Self::Maybe(_) | Self::Array(_) | Self::Tuple(_) | Self::DictEntry(_)
        ) {
            return None;
        }
        let (value, rest) = Self::parse(rest, depth)?;
        let rest = rest.strip_prefix(b"}")?;
        Some((Self::DictEntry(Box::new((key, value))), rest))
    }
}

fn fixed_sequence<'a>(members: impl Iterator<Item = &'a Type>) -> Option<usize> {
    let mut size = 0usize;
    let mut alignment = 1usize;
    let mut any = false;
    for member in members {
        any = true;
        alignment = alignment.max(member.alignment());
        size = super::align(size, member.alignment()).checked_add(member.fixed_size()?)?;
    }
    // The unit type is stored as one byte.
    Some(if any {
        super::align(size, alignment)
    } else {
        1
    })
}

impl FromStr for Type {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        match Self::parse(text.as_bytes(), super::MAX_DEPTH) {
            Some((parsed, [])) => Ok(parsed),
            _ => Err(TypeError {
                text: text.chars().take(80).collect(),
            }),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let basic = match self {
            Self::Bool => "b",
            Self::Byte => "y",
            Self::I16 => "n",
            Self::U16 => "q",
            Self::I32 => "i",
            Self::U32 => "u",
            Self::Handle => "h",
            Self::I64 => "x",
            Self::U64 => "t",
            Self::F64 => "d",
            Self::Str => "s",
            Self::ObjectPath => "o",
            Self::Signature => "g",
            Self::Variant => "v",
            Self::Maybe(inner) => return write!(f, "m{inner}"),
            Self::Array(inner) => return write!(f, "a{inner}"),
            Self::Tuple(members) => {
                f.write_str("(")?;
                for member in members {
                    write!(f, "{member}")?;
                }
                ")"
            }
            Self::DictEntry(pair) => return write!(f, "{{{}{}}}", pair.0, pair.1),
        };
        f.write_str(basic)
    }
}
