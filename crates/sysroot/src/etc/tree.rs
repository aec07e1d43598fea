use ostree_format::Checksum;
use tree::Dir;

/// A tree of configuration, as far as it is compared.
pub type EtcTree = Dir<EtcMeta, EtcLeaf>;

/// Owner and permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcMeta {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The low twelve bits of the mode.
    pub mode: u32,
}

/// Something in a tree of configuration that is no directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcLeaf {
    /// A regular file.
    File {
        /// Owner and permissions.
        meta: EtcMeta,
        /// The SHA-256 of its content.
        content: Checksum,
    },
    /// A symbolic link.
    Link {
        /// Its owner.
        meta: EtcMeta,
        /// Where it points.
        target: Vec<u8>,
    },
    /// A device, pipe or socket: never carried over.
    Other,
}
