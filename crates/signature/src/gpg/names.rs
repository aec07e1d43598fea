//! Names of algorithms, as GPGME has them.

use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;

/// Nothing for what GPGME does not know.
pub(super) fn public_key(algorithm: PublicKeyAlgorithm) -> Option<&'static str> {
    match u8::from(algorithm) {
        1 => Some("RSA"),
        2 => Some("RSA-E"),
        3 => Some("RSA-S"),
        16 => Some("ELG-E"),
        17 => Some("DSA"),
        18 => Some("ECDH"),
        19 => Some("ECDSA"),
        20 => Some("ELG"),
        22 => Some("EdDSA"),
        _ => None,
    }
}

/// Nothing for what GPGME does not know.
pub(super) fn hash(algorithm: HashAlgorithm) -> Option<&'static str> {
    match u8::from(algorithm) {
        1 => Some("MD5"),
        2 => Some("SHA1"),
        3 => Some("RIPEMD160"),
        8 => Some("SHA256"),
        9 => Some("SHA384"),
        10 => Some("SHA512"),
        11 => Some("SHA224"),
        _ => None,
    }
}
