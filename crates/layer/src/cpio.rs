//! Cpio archives, read as tar archives.
//!
//! Source: cpio(5), "New ASCII Format". Names of one inode come one after the other and only the last has the
//! content: the ones before become hard links behind it.

use std::collections::HashMap;
use std::io::{self, Read};

use ostree_format::mode;

use crate::export::tar::{Kind, Member, TarWriter};

const MAGIC: [&[u8]; 2] = [b"070701", b"070702"];
const HEADER: usize = 110;
/// Longest path: the kernel's `PATH_MAX`.
const MAX_NAME: u64 = 4096;
const TRAILER: &str = "TRAILER!!!";
const BLOCK: u64 = 512;

/// Gives the tar archive that says what a cpio archive says.
pub(crate) struct CpioAsTar<R> {
    source: R,
    /// Tar that waits to be read.
    ready: io::Cursor<Vec<u8>>,
    /// Content that still comes from the source, and the padding behind it here and there.
    left: u64,
    cpio_padding: u64,
    tar_padding: u64,
    /// Names whose content has not come yet, by device and inode.
    waiting: HashMap<(u64, u64, u64), Vec<String>>,
    ended: bool,
}

struct Header {
    inode: (u64, u64, u64),
    mode: u32,
    uid: u32,
    gid: u32,
    links: u64,
    size: u64,
}

impl CpioAsTar<()> {
    /// Whether an archive that begins so is one of cpio.
    pub(crate) fn recognises(beginning: &[u8]) -> bool {
        MAGIC.iter().any(|magic| beginning.starts_with(magic))
    }
}

impl<R: Read> CpioAsTar<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            ready: io::Cursor::default(),
            left: 0,
            cpio_padding: 0,
            tar_padding: 0,
            waiting: HashMap::new(),
            ended: false,
        }
    }

    fn entry(&mut self) -> io::Result<()> {
        let mut block = [0; HEADER];
        self.source.read_exact(&mut block)?;
        let field = |index: usize| number(&block[6 + 8 * index..14 + 8 * index]);
        if !CpioAsTar::recognises(&block) {
            return Err(invalid("not a header of a cpio archive"));
        }
        let header = Header {
            inode: (field(0)?, field(7)?, field(8)?),
            mode: narrow(field(1)?)?,
            uid: narrow(field(2)?)?,
            gid: narrow(field(3)?)?,
            links: field(4)?,
            size: field(6)?,
        };
        let name = self.name(field(11)?)?;
        if name == TRAILER {
            return self.end();
        }
        let mut out = TarWriter::new(Vec::new());
        self.translate(&mut out, &name, &header)?;
        self.ready = io::Cursor::new(out.into_inner());
        Ok(())
    }

    fn translate(
        &mut self,
        out: &mut TarWriter<Vec<u8>>,
        name: &str,
        header: &Header,
    ) -> io::Result<()> {
        let mut member = Member {
            kind: Kind::Regular,
            mode: header.mode & 0o7777,
            uid: header.uid,
            gid: header.gid,
            size: 0,
            link: "",
        };
        match header.mode & mode::S_IFMT {
            mode::S_IFDIR => {
                member.kind = Kind::Directory;
                out.header(name, &member)
            }
            mode::S_IFLNK => {
                let target = self.text(header.size)?;
                member.kind = Kind::Symlink;
                member.link = &target;
                out.header(name, &member)
            }
            mode::S_IFREG => self.file(out, name, header, member),
            _ => Err(invalid("neither a file nor a link nor a directory")),
        }
    }

    fn file(
        &mut self,
        out: &mut TarWriter<Vec<u8>>,
        name: &str,
        header: &Header,
        mut member: Member<'_>,
    ) -> io::Result<()> {
        let others = self.waiting.entry(header.inode).or_default();
        if header.links > 1 && header.size == 0 && others.len() as u64 + 1 < header.links {
            others.push(name.to_owned());
            return Ok(());
        }
        let others = self.waiting.remove(&header.inode).unwrap_or_default();
        member.size = header.size;
        out.header(name, &member)?;
        if others.is_empty() {
            self.left = header.size;
            self.cpio_padding = padding(header.size, 4);
            self.tar_padding = padding(header.size, BLOCK);
            return Ok(());
        }
        // The links must stand behind the content, which is therefore read here and now.
        let mut content = Vec::new();
        (&mut self.source)
            .take(header.size)
            .read_to_end(&mut content)?;
        self.skip(padding(header.size, 4))?;
        content.resize(content.len() + usize_of(padding(header.size, BLOCK)), 0);
        out.raw(&content)?;
        for other in others {
            out.header(&other, &member.linked_to(name))?;
        }
        Ok(())
    }

    fn name(&mut self, length: u64) -> io::Result<String> {
        if length == 0 || length > MAX_NAME {
            return Err(invalid("a name of impossible length"));
        }
        let mut name = vec![0; usize_of(length)];
        self.source.read_exact(&mut name)?;
        name.pop();
        self.skip(padding(HEADER as u64 + length, 4))?;
        String::from_utf8(name).map_err(|_| invalid("a name that is not UTF-8"))
    }

    fn text(&mut self, length: u64) -> io::Result<String> {
        if length > MAX_NAME {
            return Err(invalid("a link target of impossible length"));
        }
        let mut text = vec![0; usize_of(length)];
        self.source.read_exact(&mut text)?;
        self.skip(padding(length, 4))?;
        String::from_utf8(text).map_err(|_| invalid("a link target that is not UTF-8"))
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut (&mut self.source).take(count), &mut io::sink()).map(drop)
    }

    fn end(&mut self) -> io::Result<()> {
        self.ended = true;
        self.ready = io::Cursor::new(vec![0; 2 * usize_of(BLOCK)]);
        // Whoever writes to us must not be cut off.
        io::copy(&mut self.source, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for CpioAsTar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.ready.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if self.left > 0 {
                let count = (&mut self.source).take(self.left).read(buffer)?;
                self.left -= count as u64;
                return match count {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    count => Ok(count),
                };
            }
            let padding = std::mem::take(&mut self.cpio_padding);
            self.skip(padding)?;
            let padding = std::mem::take(&mut self.tar_padding);
            if padding > 0 {
                self.ready = io::Cursor::new(vec![0; usize_of(padding)]);
            } else if self.ended {
                return Ok(0);
            } else {
                self.entry()?;
            }
        }
    }
}

fn number(digits: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(digits).map_err(|_| invalid("a number that is none"))?;
    u64::from_str_radix(text, 16).map_err(|_| invalid("a number that is none"))
}

fn narrow(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| invalid("a number that is too large"))
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const fn padding(length: u64, unit: u64) -> u64 {
    length.next_multiple_of(unit) - length
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
