//! The little of DER (X.690) that wraps a key: `SubjectPublicKeyInfo` (RFC 5280, section 4.1) and
//! `PrivateKeyInfo` (RFC 5958).

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// A key and the algorithm it is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrappedKey<'d> {
    /// The algorithm's object identifier, encoded.
    pub(crate) oid: &'d [u8],
    /// The key itself.
    pub(crate) key: &'d [u8],
}

/// Unwrap a public key.
pub(crate) fn public_key(der: &[u8]) -> Option<WrappedKey<'_>> {
    let info = alone(der, SEQUENCE)?;
    let (algorithm, rest) = expect(info, SEQUENCE)?;
    let (oid, _parameters) = expect(algorithm, OBJECT_IDENTIFIER)?;
    // The first byte counts unused bits; keys have none.
    let key = alone(rest, BIT_STRING)?.strip_prefix(&[0])?;
    Some(WrappedKey { oid, key })
}

/// Unwrap a private key; attributes and a public key after it are ignored.
pub(crate) fn private_key(der: &[u8]) -> Option<WrappedKey<'_>> {
    let info = alone(der, SEQUENCE)?;
    let (_version, rest) = expect(info, INTEGER)?;
    let (algorithm, rest) = expect(rest, SEQUENCE)?;
    let (oid, _parameters) = expect(algorithm, OBJECT_IDENTIFIER)?;
    let (wrapped, _attributes) = expect(rest, OCTET_STRING)?;
    // RFC 8410, section 7: the key is once more an octet string. Other algorithms differ.
    let key = alone(wrapped, OCTET_STRING).unwrap_or(wrapped);
    Some(WrappedKey { oid, key })
}

/// An object identifier in its dotted form.
pub(crate) fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0u64;
    for byte in oid {
        arc = arc.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc -= first * 40;
            }
            arcs.push(arc);
            arc = 0;
        }
    }
    let arcs: Vec<_> = arcs.iter().map(u64::to_string).collect();
    arcs.join(".")
}

/// The content of the only element of `der`.
fn alone(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (content, rest) = expect(der, tag)?;
    rest.is_empty().then_some(content)
}

/// The content of the first element of `der`, and what follows it.
fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = length(rest)?;
    (*first == tag).then_some(())?;
    rest.split_at_checked(length)
}

fn length(der: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = der.split_first()?;
    let count = usize::from(first & 0x7f);
    match first {
        0..0x80 => Some((count, rest)),
        _ if (1..=4).contains(&count) => {
            let (digits, rest) = rest.split_at_checked(count)?;
            let value = digits.iter().fold(0, |sum, d| sum << 8 | usize::from(*d));
            Some((value, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8410, section 10.1 and 10.3.
    const PUBLIC: &str =
        "302a300506032b657003210019bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    const PRIVATE: &str = "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";

    #[test]
    fn keys_of_the_specification_are_unwrapped() {
        let der = hex::decode(PUBLIC).unwrap();
        let wrapped = public_key(&der).unwrap();
        assert_eq!(dotted(wrapped.oid), "1.3.101.112");
        assert_eq!((wrapped.key.len(), wrapped.key[0]), (32, 0x19));
        let der = hex::decode(PRIVATE).unwrap();
        let wrapped = private_key(&der).unwrap();
        assert_eq!((wrapped.key.len(), wrapped.key[0]), (32, 0xd4));
    }

    #[test]
    fn cut_or_extended_der_is_refused() {
        let mut der = hex::decode(PUBLIC).unwrap();
        for end in 0..der.len() {
            assert_eq!(public_key(&der[..end]), None);
        }
        der.push(0);
        assert_eq!(public_key(&der), None);
        assert_eq!(public_key(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(public_key(&[0x30, 0x80]), None);
    }

    #[test]
    fn long_arcs_are_dotted() {
        let rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
        assert_eq!(dotted(&rsa), "1.2.840.113549.1.1.1");
    }
}
