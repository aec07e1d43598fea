use crate::dirmeta::{owner_tuple, parse_owner_tuple};
use crate::gvariant::{Type, Value};
use crate::{Checksum, FormatError, Hasher, ObjectKind, Xattrs, limits, mode};

/// What a content object says about its file besides the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHeader {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode with the type bits of a regular file or of a symbolic link.
    pub mode: u32,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// The target, for a symbolic link.
    pub symlink: Option<String>,
}

impl FileHeader {
    /// A regular file; `permissions` are the low twelve bits of its mode.
    #[must_use]
    pub const fn regular(uid: u32, gid: u32, permissions: u32, xattrs: Xattrs) -> Self {
        Self {
            uid,
            gid,
            mode: mode::S_IFREG | (permissions & 0o7777),
            xattrs,
            symlink: None,
        }
    }

    /// A symbolic link, whose mode is always 0777.
    #[must_use]
    pub const fn symlink(uid: u32, gid: u32, target: String, xattrs: Xattrs) -> Self {
        Self {
            uid,
            gid,
            mode: mode::S_IFLNK | 0o777,
            xattrs,
            symlink: Some(target),
        }
    }

    /// What is hashed in front of the content: length, padding, and `(uuuusa(ayay))`.
    #[must_use]
    pub fn hashed_prefix(&self) -> Vec<u8> {
        framed(&Value::Tuple(self.members()).to_bytes())
    }

    /// A hasher that has taken in the header; feed it the content to get the object's name.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        let mut hasher = Hasher::new();
        hasher.update(&self.hashed_prefix());
        hasher
    }

    /// The name of the object with this header and `content` (empty for a symbolic link).
    #[must_use]
    pub fn checksum(&self, content: &[u8]) -> Checksum {
        let mut hasher = self.hasher();
        hasher.update(content);
        hasher.finish()
    }

    /// What stands in front of the raw deflate stream in a `.filez`: `(tuuuusa(ayay))`, framed.
    /// `size` is that of the unpacked content.
    #[must_use]
    pub fn archive_prefix(&self, size: u64) -> Vec<u8> {
        let mut members = vec![Value::U64(size.swap_bytes())];
        members.extend(self.members());
        framed(&Value::Tuple(members).to_bytes())
    }

    /// Parse the header in front of a `.filez`, given without its eight bytes of framing.
    /// Returns the header and the size of the unpacked content.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are malformed or the mode is neither file nor link.
    pub fn from_archive_header(bytes: &[u8]) -> Result<(Self, u64), FormatError> {
        let kind = ObjectKind::File;
        let number = || Type::U32;
        let of = Type::tuple([
            Type::U64,
            number(),
            number(),
            number(),
            number(),
            Type::Str,
            Xattrs::gvariant_type(),
        ]);
        let value = Value::from_bytes(&of, bytes)
            .map_err(|source| FormatError::Malformed { kind, source })?;
        let invalid = |field| FormatError::InvalidField {
            kind,
            field,
            value: String::new(),
        };
        let Some([size, uid, gid, mode, _rdev, target, xattrs]) = value.as_tuple() else {
            return Err(invalid("tuple"));
        };
        let number = |v: &Value| {
            v.as_u32()
                .map(u32::swap_bytes)
                .ok_or_else(|| invalid("number"))
        };
        let header = Self {
            uid: number(uid)?,
            gid: number(gid)?,
            mode: number(mode)?,
            xattrs: Xattrs::from_value(xattrs).ok_or_else(|| invalid("xattrs"))?,
            symlink: target
                .as_str()
                .filter(|t| !t.is_empty())
                .map(ToOwned::to_owned),
        };
        let size = size
            .as_u64()
            .map(u64::swap_bytes)
            .ok_or_else(|| invalid("size"))?;
        header.checked().map(|header| (header, size))
    }

    /// The value of `user.ostreemeta` in bare-user repositories: `(uuua(ayay))`.
    #[must_use]
    pub fn to_ostreemeta(&self) -> Vec<u8> {
        owner_tuple(self.uid, self.gid, self.mode, &self.xattrs).to_bytes()
    }

    /// Parse the value of `user.ostreemeta`; `content` is asked for when it is a symbolic link,
    /// whose target bare-user repositories store as content.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are malformed or the mode is neither file nor link.
    pub fn from_ostreemeta(bytes: &[u8], symlink: Option<String>) -> Result<Self, FormatError> {
        let (uid, gid, mode, xattrs) = parse_owner_tuple(ObjectKind::File, bytes)?;
        Self {
            uid,
            gid,
            mode,
            xattrs,
            symlink,
        }
        .checked()
    }

    /// Whether this is a symbolic link.
    #[must_use]
    pub const fn is_symlink(&self) -> bool {
        mode::is_symlink(self.mode)
    }

    fn checked(self) -> Result<Self, FormatError> {
        let invalid = |field, value: String| {
            Err(FormatError::InvalidField {
                kind: ObjectKind::File,
                field,
                value,
            })
        };
        let known_bits = self.mode & !(mode::S_IFMT | 0o7777) == 0;
        if !known_bits || !(mode::is_regular(self.mode) || mode::is_symlink(self.mode)) {
            return invalid("mode", format!("{:o}", self.mode));
        }
        match &self.symlink {
            None if self.is_symlink() => invalid("symlink target", String::new()),
            Some(target) if !self.is_symlink() || target.len() > limits::MAX_SYMLINK_TARGET => {
                invalid("symlink target", target.chars().take(80).collect())
            }
            _ => Ok(self),
        }
    }

    fn members(&self) -> Vec<Value> {
        let big_endian = |n: u32| Value::U32(n.swap_bytes());
        vec![
            big_endian(self.uid),
            big_endian(self.gid),
            big_endian(self.mode),
            big_endian(0),
            Value::from(self.symlink.as_deref().unwrap_or_default()),
            self.xattrs.to_value(),
        ]
    }
}

/// `bytes` behind their length in four big-endian bytes and four bytes of padding.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(bytes.len().saturating_add(8));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(bytes);
    out
}
