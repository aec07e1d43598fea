//! secp256k1 keys that take both forms of a signature.

use std::io;

use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::errors::Result;
use pgp::ser::Serialize;
use pgp::types::{
    EcdsaPublicParams, Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, PublicParams,
    SignatureBytes, Timestamp, VerifyingKey,
};

/// The order of the curve secp256k1 (SEC 2, section 2.4.1).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// A key, verifying as ECDSA is defined.
///
/// An ECDSA signature `(r, s)` can also be written `(r, order - s)`. rPGP takes only the one with
/// the smaller `s` for secp256k1, as cryptocurrencies do; gpg makes either, and OpenPGP has no such
/// rule. All other keys are left as they are.
#[derive(Debug)]
pub(super) struct EitherForm<'k, K>(pub(super) &'k K);

impl<K: VerifyingKey> VerifyingKey for EitherForm<'_, K> {
    fn verify(&self, hash: HashAlgorithm, data: &[u8], signature: &SignatureBytes) -> Result<()> {
        let secp256k1 = matches!(
            self.0.public_params(),
            PublicParams::ECDSA(EcdsaPublicParams::Secp256k1 { .. })
        );
        match signature {
            SignatureBytes::Mpis(numbers) if secp256k1 => {
                self.0.verify(hash, data, &with_low_s(numbers))
            }
            _ => self.0.verify(hash, data, signature),
        }
    }
}

fn with_low_s(numbers: &[Mpi]) -> SignatureBytes {
    let mut numbers = numbers.to_vec();
    if let [_, s] = numbers.as_mut_slice()
        && let Some(other) = order_less(s.as_ref())
        && other.as_slice() < padded(s.as_ref()).unwrap_or_default().as_slice()
    {
        *s = Mpi::from_slice(&other);
    }
    SignatureBytes::Mpis(numbers)
}

/// `order - s`; nothing when `s` is not below the order.
fn order_less(s: &[u8]) -> Option<[u8; 32]> {
    let s = padded(s)?;
    let mut difference = [0; 32];
    let mut borrow = false;
    for place in (0..32).rev() {
        let (digit, under) = ORDER[place].overflowing_sub(s[place]);
        let (digit, again) = digit.overflowing_sub(u8::from(borrow));
        difference[place] = digit;
        borrow = under || again;
    }
    (!borrow).then_some(difference)
}

fn padded(number: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let start = 32usize.checked_sub(number.len())?;
    bytes[start..].copy_from_slice(number);
    Some(bytes)
}

impl<K: KeyDetails> KeyDetails for EitherForm<'_, K> {
    fn version(&self) -> KeyVersion {
        self.0.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.0.legacy_key_id()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.0.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.0.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        self.0.legacy_v3_expiration_days()
    }

    fn public_params(&self) -> &PublicParams {
        self.0.public_params()
    }
}

impl<K: Serialize> Serialize for EitherForm<'_, K> {
    fn to_writer<W: io::Write>(&self, writer: &mut W) -> Result<()> {
        self.0.to_writer(writer)
    }

    fn write_len(&self) -> usize {
        self.0.write_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_number_gives_way() {
        let mut large = ORDER;
        large[31] -= 1;
        let numbers =
            |s: &[u8]| SignatureBytes::Mpis(vec![Mpi::from_slice(&[7]), Mpi::from_slice(s)]);
        let low = |s: &[u8]| with_low_s(&[Mpi::from_slice(&[7]), Mpi::from_slice(s)]);
        assert_eq!(low(&large), numbers(&[1]));
        assert_eq!(low(&[1]), numbers(&[1]));
        assert_eq!(low(&ORDER), numbers(&[0]));
        let above = [0xff; 32];
        assert_eq!(low(&above), numbers(&above));
        assert_eq!(low(&[1; 33]), numbers(&[1; 33]));
    }
}
