//! The 512-byte header block.

/// Size of a header and the unit that content is padded to.
pub const BLOCK: usize = 512;

/// The dialect that a header claims.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// `ustar\0` `00`.
    #[default]
    Ustar,
    /// `ustar  \0`.
    Gnu,
    /// No magic: the format of Unix version 7.
    None,
}

/// The fields of a header block, as numbers and bytes.
#[derive(Debug, Default, Clone)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) prefix: Vec<u8>,
    pub(super) mode: u64,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) mtime: u64,
    pub(super) typeflag: u8,
    pub(super) link: Vec<u8>,
    pub(super) magic: Magic,
    pub(super) owner: Vec<u8>,
    pub(super) group: Vec<u8>,
    pub(super) device: Option<(u32, u32)>,
    pub(super) checksum: Option<u32>,
}

impl Header {
    /// The block. Over-long names are cut, as an extension header is expected to carry them.
    pub(super) fn to_block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put(&mut block[0..100], &self.name);
        number(&mut block[100..108], self.mode);
        number(&mut block[108..116], self.uid);
        number(&mut block[116..124], self.gid);
        number(&mut block[124..136], self.size);
        number(&mut block[136..148], self.mtime);
        block[156] = self.typeflag;
        put(&mut block[157..257], &self.link);
        self.put_ustar(&mut block);
        self.put_checksum(&mut block);
        block
    }

    fn put_ustar(&self, block: &mut [u8; BLOCK]) {
        match self.magic {
            Magic::Ustar => put(&mut block[257..265], b"ustar\x0000"),
            Magic::Gnu => put(&mut block[257..265], b"ustar  \0"),
            Magic::None => return,
        }
        put(&mut block[265..297], &self.owner);
        put(&mut block[297..329], &self.group);
        if let Some((major, minor)) = self.device {
            number(&mut block[329..337], major.into());
            number(&mut block[337..345], minor.into());
        }
        put(&mut block[345..500], &self.prefix);
    }

    fn put_checksum(&self, block: &mut [u8; BLOCK]) {
        block[148..156].fill(b' ');
        let sum = self
            .checksum
            .unwrap_or_else(|| block.iter().map(|byte| u32::from(*byte)).sum());
        put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Recomputes the checksum of a block that was edited by hand.
pub(super) fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Octal with a final NUL, or GNU's base-256 (first bit set, big endian) when that is too short.
pub(super) fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let octal = format!("{value:0digits$o}");
    if octal.len() <= digits {
        return put(field, octal.as_bytes());
    }
    field.fill(0);
    let bytes = value.to_be_bytes();
    let start = field.len() - bytes.len().min(field.len());
    let skipped = bytes.len() - (field.len() - start);
    field[start..].copy_from_slice(&bytes[skipped..]);
    field[0] |= 0x80;
}
