//! Public keys of sigstore signatures: ECDSA, RSA and Ed25519, each over SHA-256 where it hashes.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};

/// A key that signatures are verified with.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Where it came from.
    pub(crate) origin: String,
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    bits: Vec<u8>,
}

/// Key algorithms, by the beginning of the `AlgorithmIdentifier` in DER.
const ALGORITHMS: [(&[u8], &dyn SignatureVerificationAlgorithm); 4] = [
    (
        // ecPublicKey with prime256v1
        &[
            0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07,
        ],
        webpki::ring::ECDSA_P256_SHA256,
    ),
    (
        // ecPublicKey with secp384r1
        &[
            0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
            0x00, 0x22,
        ],
        webpki::ring::ECDSA_P384_SHA256,
    ),
    (
        // rsaEncryption
        &[
            0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
        ],
        webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    ),
    (&[0x06, 0x03, 0x2b, 0x65, 0x70], webpki::ring::ED25519),
];

impl Key {
    /// From a PEM file with a `PUBLIC KEY`.
    pub(crate) fn from_pem(origin: &str, pem: &[u8]) -> Result<Self, String> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|cause| format!("key {origin} is not a PEM public key: {cause}"))?;
        let (algorithm, bits) =
            split(&der).ok_or_else(|| format!("key {origin} is not a public key in DER"))?;
        let known = ALGORITHMS
            .iter()
            .find(|(oid, _)| algorithm.starts_with(oid));
        let (_, algorithm) =
            known.ok_or_else(|| format!("key {origin} has an algorithm that is not supported"))?;
        Ok(Self {
            origin: origin.to_owned(),
            algorithm: *algorithm,
            bits: bits.to_vec(),
        })
    }

    /// Whether the signature over `message` was made by this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.algorithm
            .verify_signature(&self.bits, message, signature)
            .is_ok()
    }
}

/// `SEQUENCE { SEQUENCE algorithm, BIT STRING key }`: the content of both.
fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (outer, rest) = element(der, 0x30)?;
    let (algorithm, key) = element(outer, 0x30)?;
    let (key, after) = element(key, 0x03)?;
    let (unused_bits, key) = key.split_first()?;
    (rest.is_empty() && after.is_empty() && *unused_bits == 0).then_some((algorithm, key))
}

/// The content of the first element, which must have the tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}
