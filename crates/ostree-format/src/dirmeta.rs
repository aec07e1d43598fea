use crate::gvariant::{Type, Value};
use crate::{Checksum, FormatError, ObjectKind, Xattrs, mode};

/// Owner, mode and extended attributes of a directory: a `dirmeta` object, `(uuua(ayay))`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirMeta {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode with the type bits of a directory.
    pub mode: u32,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl DirMeta {
    /// A directory of `root:root` without attributes; `permissions` are the low twelve bits.
    #[must_use]
    pub const fn root_owned(permissions: u32) -> Self {
        Self {
            uid: 0,
            gid: 0,
            mode: mode::S_IFDIR | permissions,
            xattrs: Xattrs::new(),
        }
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        owner_tuple(self.uid, self.gid, self.mode, &self.xattrs).to_bytes()
    }

    /// The name of the object.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        Checksum::of(&self.to_bytes())
    }

    /// Parse the stored form.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are malformed or the mode is not that of a directory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let (uid, gid, mode, xattrs) = parse_owner_tuple(ObjectKind::DirMeta, bytes)?;
        if !mode::is_dir(mode) || mode & !(mode::S_IFMT | 0o7777) != 0 {
            return Err(FormatError::InvalidField {
                kind: ObjectKind::DirMeta,
                field: "mode",
                value: format!("{mode:o}"),
            });
        }
        Ok(Self {
            uid,
            gid,
            mode,
            xattrs,
        })
    }
}

/// `(uuua(ayay))` with big-endian numbers: dirmeta objects and the attribute `user.ostreemeta`.
pub(crate) fn owner_tuple(uid: u32, gid: u32, mode: u32, xattrs: &Xattrs) -> Value {
    let big_endian = |n: u32| Value::U32(n.swap_bytes());
    Value::Tuple(vec![
        big_endian(uid),
        big_endian(gid),
        big_endian(mode),
        xattrs.to_value(),
    ])
}

pub(crate) fn parse_owner_tuple(
    kind: ObjectKind,
    bytes: &[u8],
) -> Result<(u32, u32, u32, Xattrs), FormatError> {
    let of = Type::tuple([Type::U32, Type::U32, Type::U32, Xattrs::gvariant_type()]);
    let value =
        Value::from_bytes(&of, bytes).map_err(|source| FormatError::Malformed { kind, source })?;
    let invalid = |field| FormatError::InvalidField {
        kind,
        field,
        value: String::new(),
    };
    let Some([uid, gid, mode, xattrs]) = value.as_tuple() else {
        return Err(invalid("tuple"));
    };
    let number = |v: &Value| {
        v.as_u32()
            .map(u32::swap_bytes)
            .ok_or_else(|| invalid("number"))
    };
    let xattrs = Xattrs::from_value(xattrs).ok_or_else(|| invalid("xattrs"))?;
    Ok((number(uid)?, number(gid)?, number(mode)?, xattrs))
}
