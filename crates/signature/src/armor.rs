//! Blocks of base64 between `BEGIN` and `END` lines: PEM (RFC 7468) and OpenPGP armor (RFC 9580,
//! section 6).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use error_class::{Classified, ErrorClass};

/// Text is not well formed armor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArmorError {
    /// A block has no `END` line, or one of another block.
    #[error("the {label:?} block that begins in line {line} does not end")]
    Unterminated {
        /// What follows `BEGIN`.
        label: String,
        /// Line of `BEGIN`, counted from 1.
        line: usize,
    },
    /// The text inside a block is not base64.
    #[error("the {label:?} block that begins in line {line} is not base64")]
    NotBase64 {
        /// What follows `BEGIN`.
        label: String,
        /// Line of `BEGIN`, counted from 1.
        line: usize,
    },
}

impl Classified for ArmorError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// What follows `BEGIN`, for example `PUBLIC KEY`.
    pub(crate) label: String,
    /// Line of `BEGIN`, counted from 1.
    pub(crate) line: usize,
    /// The decoded bytes.
    pub(crate) data: Vec<u8>,
}

/// Decode base64 with or without padding, ignoring white space around it.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    const INDIFFERENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    INDIFFERENT.decode(text.trim()).ok()
}

/// All blocks of `text`, in order; what stands between them is ignored.
///
/// Header lines (`Comment: ...`) and the CRC of OpenPGP armor are skipped: what is inside is
/// signed, or worth nothing.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>, ArmorError> {
    let mut found = Vec::new();
    let mut lines = (1..).zip(text.lines().map(str::trim));
    while let Some((line, text)) = lines.next() {
        if let Some(label) = label(text, "-----BEGIN ") {
            let encoded = body(label, line, &mut lines)?;
            let label = label.to_owned();
            match base64(&encoded) {
                Some(data) => found.push(Block { label, line, data }),
                None => return Err(ArmorError::NotBase64 { label, line }),
            }
        }
    }
    Ok(found)
}

fn label<'t>(line: &'t str, prefix: &str) -> Option<&'t str> {
    line.strip_prefix(prefix)?.strip_suffix("-----")
}

fn body<'t>(
    begun: &str,
    line: usize,
    lines: &mut impl Iterator<Item = (usize, &'t str)>,
) -> Result<String, ArmorError> {
    let mut encoded = String::new();
    for (_, text) in lines {
        match label(text, "-----END ") {
            Some(ended) if ended == begun => return Ok(encoded),
            Some(_) => break,
            None if text.contains(':') || text.starts_with('=') => {}
            None => encoded.push_str(text),
        }
    }
    Err(ArmorError::Unterminated {
        label: begun.to_owned(),
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_blocks_with_noise_between() {
        let text = "noise\n-----BEGIN A B-----\nComment: x\n\n aGVs\r\nbG8=\n=abcd\n-----END A B-----\n\
                    more\n-----BEGIN C-----\n-----END C-----\n";
        let found = blocks(text).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|b| (b.label.as_str(), b.line, b.data.as_slice()))
            .collect();
        assert_eq!(seen, [("A B", 2, &b"hello"[..]), ("C", 10, b"")]);
    }

    #[test]
    fn what_does_not_end_is_refused() {
        let unterminated = |text: &str| matches!(blocks(text), Err(ArmorError::Unterminated { label, line: 1 }) if label == "A");
        assert!(unterminated("-----BEGIN A-----\nAAAA\n"));
        assert!(unterminated("-----BEGIN A-----\nAAAA\n-----END B-----\n"));
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        let error = blocks("-----BEGIN A-----\n!!\n-----END A-----").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the \"A\" block that begins in line 1 is not base64"
        );
    }

    #[test]
    fn padding_may_be_missing() {
        assert_eq!(base64(" aGVsbG8 ").unwrap(), b"hello");
        assert_eq!(base64("aGVsbG8=\n").unwrap(), b"hello");
        assert_eq!(base64("aGVsb"), None);
    }
}
