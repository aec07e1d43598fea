//! Writing tar archives: GNU headers, and pax records for extended attributes only.
//!
//! Source: the GNU tar manual ("Basic Tar Format") and pax(1). There are no times and no names of users, so
//! that equal trees give equal archives.

use std::io::{self, Read, Write};

use ostree_format::Xattrs;

const BLOCK: usize = 512;
/// The longest name that a header has room for.
const MAX_NAME: usize = 100;

/// The attribute that holds a SELinux label.
const LABEL: &[u8] = b"security.selinux";

/// What kind of entry a header announces, by its letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular = b'0' as isize,
    HardLink = b'1' as isize,
    Symlink = b'2' as isize,
    Directory = b'5' as isize,
    LongLink = b'K' as isize,
    LongName = b'L' as isize,
    Attributes = b'x' as isize,
}

/// What a header says besides the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) kind: Kind,
    /// Permissions, without the bits of the file type.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// The target of a link.
    pub(crate) link: &'a str,
}

impl<'a> Member<'a> {
    /// A file that belongs to root, as all of a repository but its content objects do.
    pub(crate) const fn plain(size: u64) -> Self {
        Self {
            kind: Kind::Regular,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size,
            link: "",
        }
    }

    /// A directory.
    pub(crate) const fn dir(mode: u32, uid: u32, gid: u32) -> Self {
        Self {
            kind: Kind::Directory,
            mode,
            uid,
            gid,
            size: 0,
            link: "",
        }
    }

    /// The same owner and mode, as a hard link to `target`.
    pub(crate) const fn linked_to<'b>(&self, target: &'b str) -> Member<'b> {
        Member {
            kind: Kind::HardLink,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            size: 0,
            link: target,
        }
    }
}

/// An archive being written.
#[derive(Debug)]
pub(crate) struct TarWriter<W> {
    out: W,
    /// Seconds since 1970 of all entries.
    time: u64,
}

impl<W: Write> TarWriter<W> {
    pub(crate) const fn new(out: W) -> Self {
        Self { out, time: 0 }
    }

    /// Let all entries have this time, in seconds since 1970.
    pub(crate) const fn with_time(mut self, seconds: u64) -> Self {
        self.time = seconds;
        self
    }

    /// Bytes that are an archive's already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// What was written to, without the end of an archive.
    pub(crate) fn into_inner(self) -> W {
        self.out
    }

    /// A header; the content, if there is any, comes next.
    pub(crate) fn header(&mut self, path: &str, member: &Member<'_>) -> io::Result<()> {
        if path.len() > MAX_NAME {
            self.long(Kind::LongName, path)?;
        }
        if member.link.len() > MAX_NAME {
            self.long(Kind::LongLink, member.link)?;
        }
        self.out.write_all(&header(path, member, self.time))
    }

    /// An entry whose content is at hand.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.header(path, &Member::plain(content.len() as u64))?;
        self.out.write_all(content)?;
        self.pad(content.len() as u64)
    }

    /// The content that a header announced. Each piece is shown to `seen` on its way.
    ///
    /// Fails with `UnexpectedEof` when `content` has less than `size` bytes, and with `InvalidData` when
    /// it has more.
    pub(crate) fn content(
        &mut self,
        size: u64,
        content: &mut impl Read,
        buffer: &mut [u8],
        mut seen: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut left = size;
        loop {
            let count = match content.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if count == 0 {
                break;
            }
            left = left.checked_sub(count as u64).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "longer than announced")
            })?;
            seen(&buffer[..count]);
            self.out.write_all(&buffer[..count])?;
        }
        if left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(size)
    }

    /// Extended attributes of the entry that comes next, but for SELinux labels: those belong to the
    /// machine that an archive is unpacked on.
    pub(crate) fn xattrs(&mut self, xattrs: &Xattrs) -> io::Result<()> {
        self.attributes(xattrs.iter().filter(|(name, _)| *name != LABEL))
    }

    /// Extended attributes of the entry that comes next, SELinux labels included.
    pub(crate) fn all_xattrs(&mut self, xattrs: &Xattrs) -> io::Result<()> {
        self.attributes(xattrs.iter())
    }

    fn attributes<'x>(
        &mut self,
        xattrs: impl Iterator<Item = (&'x [u8], &'x [u8])>,
    ) -> io::Result<()> {
        let mut records = Vec::new();
        for (name, value) in xattrs {
            let key = [b"SCHILY.xattr.", name].concat();
            push_record(&mut records, &key, value);
        }
        if records.is_empty() {
            return Ok(());
        }
        let member = Member {
            kind: Kind::Attributes,
            ..Member::plain(records.len() as u64)
        };
        self.out
            .write_all(&header("PaxHeaders/attributes", &member, self.time))?;
        self.out.write_all(&records)?;
        self.pad(records.len() as u64)
    }

    /// The end of the archive.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])
    }

    fn long(&mut self, kind: Kind, text: &str) -> io::Result<()> {
        let size = text.len() as u64 + 1;
        let member = Member {
            kind,
            ..Member::plain(size)
        };
        self.out.write_all(&header("././@LongLink", &member, 0))?;
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        if over == 0 {
            return Ok(());
        }
        self.out.write_all(&[0; BLOCK][over..])
    }
}

fn header(path: &str, member: &Member<'_>, time: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let put = |block: &mut [u8; BLOCK], at: usize, bytes: &[u8]| {
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let cut = |text: &str| text.as_bytes()[..text.len().min(MAX_NAME)].to_vec();
    put(&mut block, 0, &cut(path));
    put(&mut block, 100, &number::<8>(u64::from(member.mode)));
    put(&mut block, 108, &number::<8>(u64::from(member.uid)));
    put(&mut block, 116, &number::<8>(u64::from(member.gid)));
    put(&mut block, 124, &number::<12>(member.size));
    put(&mut block, 136, &number::<12>(time));
    block[156] = member.kind as u8;
    put(&mut block, 157, &cut(member.link));
    put(&mut block, 257, b"ustar  \0");
    // The sum is taken with blanks in its own place.
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    put(&mut block, 148, &number::<8>(sum + 8 * u64::from(b' ')));
    block
}

/// Octal digits and NUL, or, for what does not fit, GNU's binary form.
fn number<const N: usize>(value: u64) -> [u8; N] {
    let mut field = [0; N];
    let digits = format!("{value:0width$o}", width = N - 1);
    if digits.len() < N {
        field[..N - 1].copy_from_slice(digits.as_bytes());
    } else {
        let bytes = value.to_be_bytes();
        let length = bytes.len().min(N);
        field[N - length..].copy_from_slice(&bytes[bytes.len() - length..]);
        field[0] |= 0x80;
    }
    field
}

/// One record of an extended header: its length counts its own digits.
fn push_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read back by another implementation.
    #[test]
    fn long_names_large_owners_and_attributes() {
        let mut bytes = Vec::new();
        let mut tar = TarWriter::new(&mut bytes);
        let long = "d/".repeat(80) + "file";
        let mut xattrs = Xattrs::new();
        xattrs.insert(b"user.binary", b"a=b\0\xff");
        xattrs.insert(b"user.long", &[b'x'; 90]);
        xattrs.insert(b"security.selinux", b"label\0");
        tar.xattrs(&xattrs).unwrap();
        let member = Member {
            uid: u32::MAX - 1,
            mode: 0o4755,
            ..Member::plain(3)
        };
        tar.header(&long, &member).unwrap();
        tar.content(3, &mut &b"abc"[..], &mut [0; 2], |_| {})
            .unwrap();
        tar.header("link", &member.linked_to(&long)).unwrap();
        tar.finish().unwrap();
        let mut archive = ::tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap();
        let mut first = entries.next().unwrap().unwrap();
        assert_eq!(first.path_bytes(), long.as_bytes());
        assert_eq!(first.header().uid().unwrap(), u64::from(u32::MAX - 1));
        let records: Vec<_> = first
            .pax_extensions()
            .unwrap()
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let records: Vec<_> = records
            .iter()
            .map(|r| (r.key_bytes(), r.value_bytes()))
            .collect();
        assert_eq!(records.len(), 2);
        assert!(records.contains(&(b"SCHILY.xattr.user.long", &[b'x'; 90])));
        let second = entries.next().unwrap().unwrap();
        assert_eq!(second.link_name_bytes().unwrap(), long.as_bytes());
        assert!(entries.next().is_none());
    }

    #[test]
    fn content_of_another_length_is_an_error() {
        let content =
            |size| TarWriter::new(io::sink()).content(size, &mut &b"abc"[..], &mut [0; 8], |_| {});
        assert_eq!(content(4).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(content(2).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
