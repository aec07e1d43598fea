//! One archive member.

use super::header::{BLOCK, Header, Magic};
use super::sparse::Sparse;

/// How a path or link target of more than 100 bytes is written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum LongNames {
    /// A PAX `path` or `linkpath` record.
    #[default]
    Pax,
    /// GNU's entries of type `L` and `K`.
    Gnu,
    /// The ustar prefix field: split at the last `/` that fits, at most 255 bytes, paths only.
    UstarPrefix,
}

/// An archive member; every field can be set to something that is wrong.
#[derive(Debug, Clone)]
pub struct Entry {
    header: Header,
    path: Vec<u8>,
    link: Vec<u8>,
    content: Vec<u8>,
    size: Option<u64>,
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    long_names: LongNames,
    sparse: Option<Sparse>,
}

impl Entry {
    /// A member of any type (`typeflag` is the byte in the header) without content.
    pub fn new(typeflag: u8, path: impl AsRef<[u8]>) -> Self {
        let header = Header {
            mode: 0o644,
            typeflag,
            ..Header::default()
        };
        Self {
            header,
            path: path.as_ref().to_vec(),
            link: Vec::new(),
            content: Vec::new(),
            size: None,
            pax: Vec::new(),
            long_names: LongNames::default(),
            sparse: None,
        }
    }

    /// A regular file (type `0`), mode 0644.
    pub fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::new(b'0', path);
        entry.content = content.as_ref().to_vec();
        entry
    }

    /// A directory (type `5`), mode 0755.
    pub fn dir(path: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', path).mode(0o755)
    }

    /// A symbolic link (type `2`), mode 0777.
    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'2', path).mode(0o777).link(target)
    }

    /// A hard link (type `1`).
    pub fn hardlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'1', path).link(target)
    }

    /// A device node: type `3` (character) or `4` (block).
    pub fn device(path: impl AsRef<[u8]>, typeflag: u8, major: u32, minor: u32) -> Self {
        let mut entry = Self::new(typeflag, path);
        entry.header.device = Some((major, minor));
        entry
    }

    /// A named pipe (type `6`).
    pub fn fifo(path: impl AsRef<[u8]>) -> Self {
        Self::new(b'6', path)
    }

    /// A regular file with holes.
    pub fn sparse(path: impl AsRef<[u8]>, sparse: Sparse) -> Self {
        let mut entry = Self::new(b'0', path);
        entry.sparse = Some(sparse);
        entry
    }

    /// Sets the link target.
    #[must_use]
    pub fn link(mut self, target: impl AsRef<[u8]>) -> Self {
        self.link = target.as_ref().to_vec();
        self
    }

    /// Sets the permission bits (or whatever should stand in the mode field).
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.header.mode = mode.into();
        self
    }

    /// Sets owner and group; what does not fit in octal becomes base-256.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.header.uid, self.header.gid) = (uid, gid);
        self
    }

    /// Sets the names of owner and group, which readers must ignore in favour of the numbers.
    #[must_use]
    pub fn owner_names(mut self, user: &str, group: &str) -> Self {
        (self.header.owner, self.header.group) = (user.into(), group.into());
        self
    }

    /// Sets the modification time in seconds.
    #[must_use]
    pub fn mtime(mut self, seconds: u64) -> Self {
        self.header.mtime = seconds;
        self
    }

    /// Sets the dialect of the header.
    #[must_use]
    pub fn magic(mut self, magic: Magic) -> Self {
        self.header.magic = magic;
        self
    }

    /// Sets how long names are written.
    #[must_use]
    pub fn long_names(mut self, how: LongNames) -> Self {
        self.long_names = how;
        self
    }

    /// Adds a PAX record, before those that long names need.
    #[must_use]
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax
            .push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds an extended attribute as the PAX record `SCHILY.xattr.NAME`.
    #[must_use]
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(format!("SCHILY.xattr.{name}"), value)
    }

    /// Lies about the size in the header; the content that follows stays as it is.
    #[must_use]
    pub fn lie_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Lies about the checksum of the header.
    #[must_use]
    pub fn lie_checksum(mut self, checksum: u32) -> Self {
        self.header.checksum = Some(checksum);
        self
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut header = self.header.clone();
        let mut pax = self.pax.clone();
        header.size = self.size.unwrap_or(self.content.len() as u64);
        self.put_path(&mut header, &mut pax, out);
        self.put_link(&mut header, &mut pax, out);
        match &self.sparse {
            Some(sparse) => sparse.write(header, &self.path, pax, out),
            None => write_member(&header, &pax, &self.content, out),
        }
    }

    fn put_path(&self, header: &mut Header, pax: &mut Vec<(Vec<u8>, Vec<u8>)>, out: &mut Vec<u8>) {
        header.name.clone_from(&self.path);
        if self.path.len() <= 100 {
            return;
        }
        match self.long_names {
            LongNames::Pax => pax.push((b"path".to_vec(), self.path.clone())),
            LongNames::Gnu => write_extension(out, b'L', &with_nul(&self.path)),
            LongNames::UstarPrefix => {
                let at = self.path[..=155.min(self.path.len() - 1)]
                    .iter()
                    .rposition(|b| *b == b'/');
                let at = at.expect("a path with a slash among the first 156 bytes");
                header.prefix = self.path[..at].to_vec();
                header.name = self.path[at + 1..].to_vec();
            }
        }
    }

    fn put_link(&self, header: &mut Header, pax: &mut Vec<(Vec<u8>, Vec<u8>)>, out: &mut Vec<u8>) {
        header.link.clone_from(&self.link);
        if self.link.len() <= 100 {
            return;
        }
        match self.long_names {
            LongNames::Pax => pax.push((b"linkpath".to_vec(), self.link.clone())),
            LongNames::Gnu => write_extension(out, b'K', &with_nul(&self.link)),
            LongNames::UstarPrefix => panic!("ustar has no prefix for link targets"),
        }
    }
}

/// Writes the PAX header when there are records, then header block, content and padding.
pub(super) fn write_member(
    header: &Header,
    pax: &[(Vec<u8>, Vec<u8>)],
    content: &[u8],
    out: &mut Vec<u8>,
) {
    if !pax.is_empty() {
        let records = pax
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_slice()));
        write_extension(out, b'x', &pax_records(records));
    }
    out.extend_from_slice(&header.to_block());
    write_padded(out, content);
}

/// Writes an extension header (`x`, `g`, `L`, `K`) with its data.
pub(super) fn write_extension(out: &mut Vec<u8>, typeflag: u8, data: &[u8]) {
    let (name, magic) = match typeflag {
        b'L' | b'K' => (b"././@LongLink".to_vec(), Magic::Gnu),
        _ => (b"./PaxHeaders/entry".to_vec(), Magic::Ustar),
    };
    let header = Header {
        name,
        mode: 0o644,
        size: data.len() as u64,
        typeflag,
        magic,
        ..Header::default()
    };
    out.extend_from_slice(&header.to_block());
    write_padded(out, data);
}

/// `LENGTH KEY=VALUE\n` for each record, where the length counts itself.
pub(super) fn pax_records<'a>(records: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        out.extend_from_slice(format!("{length} ").as_bytes());
        out.extend_from_slice(&[key, b"=", value, b"\n"].concat());
    }
    out
}

fn write_padded(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(data);
    out.resize(
        out.len() + data.len().next_multiple_of(BLOCK) - data.len(),
        0,
    );
}

fn with_nul(bytes: &[u8]) -> Vec<u8> {
    [bytes, b"\0"].concat()
}
