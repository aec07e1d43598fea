//! Parts of a signature that must be understood.

use pgp::packet::{Signature, Subpacket, SubpacketData};

/// Whether the signature has a subpacket that is marked critical and that gpg does not know.
///
/// RFC 9580, section 5.2.3.7: such a signature is in error. The list of those that are known is
/// gpg's (`can_handle_critical` in GnuPG's `g10/parse-packet.c`); it looks at the unhashed area too.
pub(super) fn has_unknown(signature: &Signature) -> bool {
    signature.config().is_some_and(|config| {
        let hashed = config.hashed_subpackets();
        let mut all = hashed.chain(config.unhashed_subpackets());
        all.any(|s| s.is_critical && !is_known(s))
    })
}

fn is_known(subpacket: &Subpacket) -> bool {
    use SubpacketData as S;
    matches!(
        subpacket.data,
        S::SignatureCreationTime(_)
            | S::SignatureExpirationTime(_)
            | S::KeyExpirationTime(_)
            | S::IssuerKeyId(_)
            | S::IssuerFingerprint(_)
            | S::PreferredSymmetricAlgorithms(_)
            | S::PreferredHashAlgorithms(_)
            | S::PreferredCompressionAlgorithms(_)
            | S::KeyFlags(_)
            | S::Features(_)
            | S::RevocationReason(..)
            | S::RevocationKey(_)
            | S::IsPrimary(_)
            | S::Revocable(_)
            | S::EmbeddedSignature(_)
            | S::PreferredKeyServer(_)
            | S::PolicyURI(_)
            | S::TrustSignature(..)
            | S::RegularExpression(_)
            | S::ExportableCertification(_)
    )
}
