//! Public keys of sigstore signatures: ECDSA, RSA and Ed25519.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};

use crate::der::{self, BIT_STRING, Malformed, Reader, SEQUENCE};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// A key that signatures are verified with.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Where it came from.
    pub(crate) origin: String,
    /// The `SubjectPublicKeyInfo`.
    pub(crate) der: Vec<u8>,
    algorithms: &'static [Algorithm],
    bits: Vec<u8>,
}

/// Key algorithms, by the beginning of the `AlgorithmIdentifier` in DER. Signatures in tags are always
/// over SHA-256, those in bundles over the hash that goes with the curve.
const ALGORITHMS: [(&[u8], &[Algorithm]); 4] = [
    (
        // ecPublicKey with prime256v1
        &[
            0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07,
        ],
        &[webpki::ring::ECDSA_P256_SHA256],
    ),
    (
        // ecPublicKey with secp384r1
        &[
            0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
            0x00, 0x22,
        ],
        &[
            webpki::ring::ECDSA_P384_SHA256,
            webpki::ring::ECDSA_P384_SHA384,
        ],
    ),
    (
        // rsaEncryption
        &[
            0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
        ],
        &[webpki::ring::RSA_PKCS1_2048_8192_SHA256],
    ),
    (&[0x06, 0x03, 0x2b, 0x65, 0x70], &[webpki::ring::ED25519]),
];

impl Key {
    /// From a PEM file with a `PUBLIC KEY`.
    pub(crate) fn from_pem(origin: &str, pem: &[u8]) -> Result<Self, String> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|cause| format!("key {origin} is not a PEM public key: {cause}"))?;
        Self::from_der(origin, &der)
    }

    /// From a `SubjectPublicKeyInfo`.
    pub(crate) fn from_der(origin: &str, der: &[u8]) -> Result<Self, String> {
        let (algorithm, bits) =
            split(der).map_err(|_| format!("key {origin} is not a public key in DER"))?;
        let known = ALGORITHMS
            .iter()
            .find(|(oid, _)| algorithm.starts_with(oid));
        let (_, algorithms) =
            known.ok_or_else(|| format!("key {origin} has an algorithm that is not supported"))?;
        Ok(Self {
            origin: origin.to_owned(),
            der: der.to_vec(),
            algorithms,
            bits: bits.to_vec(),
        })
    }

    /// Whether the signature over `message` was made by this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified =
            |algorithm: &Algorithm| algorithm.verify_signature(&self.bits, message, signature);
        self.algorithms
            .iter()
            .any(|algorithm| verified(algorithm).is_ok())
    }
}

/// `SEQUENCE { SEQUENCE algorithm, BIT STRING key }`: the content of both.
fn split(der: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut inner = Reader::new(der::only(der, SEQUENCE)?);
    let algorithm = inner.take(SEQUENCE)?;
    let key = inner.take(BIT_STRING)?;
    match key.split_first() {
        Some((0, key)) if inner.is_empty() => Ok((algorithm, key)),
        _ => Err(Malformed),
    }
}
