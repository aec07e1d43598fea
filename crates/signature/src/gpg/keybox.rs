//! Keyboxes: `pubring.kbx`, where GnuPG 2.1 and later keep public keys.
//!
//! Source of the format: the comment at the head of GnuPG's `kbx/keybox-blob.c`. All integers are
//! big-endian; offsets count from the beginning of the blob.

use super::KeyringError;

const FIRST_BLOB: u8 = 1;
const OPENPGP_BLOB: u8 = 2;

/// Whether `bytes` begin as a keybox does.
pub(super) fn is_keybox(bytes: &[u8]) -> bool {
    bytes.get(4) == Some(&FIRST_BLOB) && bytes.get(8..12) == Some(b"KBXf")
}

/// The OpenPGP keyblocks of a keybox, one after the other; X.509 certificates are left out.
pub(super) fn keyblocks(bytes: &[u8]) -> Result<Vec<u8>, KeyringError> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let (blob, after) = first(rest).ok_or(KeyringError::Keybox { offset })?;
        if blob.get(4) == Some(&OPENPGP_BLOB) {
            found.extend(keyblock(blob).ok_or(KeyringError::Keybox { offset })?);
        }
        rest = after;
    }
    Ok(found)
}

fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Less than a length and a type would not advance.
    let length = number(bytes, 0).filter(|length| *length > 4)?;
    bytes.split_at_checked(length)
}

fn keyblock(blob: &[u8]) -> Option<&[u8]> {
    let (offset, length) = (number(blob, 8)?, number(blob, 12)?);
    blob.get(offset..offset.checked_add(length)?)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*digits)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(16 + content.len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        bytes.extend([kind, 1, 0, 0]);
        bytes.extend(16u32.to_be_bytes());
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(content);
        bytes
    }

    fn head() -> Vec<u8> {
        let mut bytes = blob(FIRST_BLOB, b"");
        bytes[8..12].copy_from_slice(b"KBXf");
        bytes
    }

    #[test]
    fn only_openpgp_blobs_count() {
        let bytes = [head(), blob(2, b"one"), blob(3, b"x509"), blob(2, b"two")].concat();
        assert!(is_keybox(&bytes));
        assert_eq!(keyblocks(&bytes).unwrap(), b"onetwo");
    }

    #[test]
    fn cut_boxes_are_refused() {
        let bytes = [head(), blob(2, b"one")].concat();
        for end in 17..bytes.len() {
            assert!(keyblocks(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut outside = [head(), blob(2, b"one")].concat();
        outside[16 + 12..16 + 16].copy_from_slice(&4u32.to_be_bytes());
        assert!(matches!(
            keyblocks(&outside),
            Err(KeyringError::Keybox { offset: 16 })
        ));
        assert!(keyblocks(&[0; 8]).is_err());
    }
}
