//! GVariant: the serialisation of every OSTree metadata object.
//!
//! Source: the GVariant specification (D-Bus/GLib, "GVariant Specification", 2010). Little-endian
//! throughout, as libostree writes on all machines that matter; the integers that OSTree stores in
//! big-endian order are swapped by their users, not here.

mod decode;
mod encode;
mod text;
mod types;
mod value;

pub use text::TextError;
pub use types::{Type, TypeError};
pub use value::Value;

/// Why bytes are not a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A framing offset or a fixed size does not fit the bytes.
    #[error("framing of type {type_string:?} does not fit its {len} bytes")]
    Framing {
        /// The type at that place.
        type_string: String,
        /// Bytes available.
        len: usize,
    },
    /// A string is not terminated UTF-8 without NUL.
    #[error("a string is not valid")]
    InvalidString,
    /// A variant holds no valid type string.
    #[error("a variant has no valid type: {0}")]
    InvalidType(#[from] TypeError),
    /// Variants are nested too deeply.
    #[error("values are nested more than {0} deep")]
    TooDeep(usize),
    /// The bytes parse, but are not what encoding the value gives.
    #[error("the bytes are not in normal form")]
    NotNormal,
}

/// Nesting that is accepted (GLib's own limit is 128).
pub const MAX_DEPTH: usize = 128;

/// Bytes of one framing offset in a container of `body` bytes plus `count` offsets.
fn offset_size(body: usize, count: usize) -> usize {
    for (size, limit) in [(1usize, 0xffusize), (2, 0xffff), (4, 0xffff_ffff)] {
        if body.saturating_add(count.saturating_mul(size)) <= limit {
            return size;
        }
    }
    8
}

/// Bytes of one framing offset in a container whose total size is `total`.
fn offset_size_of_total(total: usize) -> usize {
    match total {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// Round `at` up to a multiple of `alignment`, a power of two.
const fn align(at: usize, alignment: usize) -> usize {
    at.saturating_add(alignment.wrapping_sub(1)) & !(alignment.wrapping_sub(1))
}

#[cfg(test)]
mod tests;
