use pgp::crypto::hash::HashAlgorithm;

/// Which signatures over data are refused although they are mathematically valid.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Policy {
    /// Accept SHA-1 in signatures over data, as gpg 2.2 and 2.4 do by default.
    ///
    /// For repositories that were signed long ago, with gpg before 2.1 (2014).
    pub accept_sha1: bool,
}

impl Policy {
    pub(super) fn refuses_for_data(&self, hash: HashAlgorithm) -> bool {
        is_weak(hash) || (hash == HashAlgorithm::Sha1 && !self.accept_sha1)
    }
}

/// Whether gpg refuses the algorithm wherever it stands (`--weak-digest` by default).
pub(super) fn is_weak(hash: HashAlgorithm) -> bool {
    hash == HashAlgorithm::Md5
}
