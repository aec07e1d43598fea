//! Files with holes, in the four ways that GNU tar has written them.

use super::entry::write_member;
use super::header::{BLOCK, Header, Magic, number, seal};

/// The data of a sparse file and its format.
///
/// Each chunk is an offset and the data there; all but the last must be whole 512-byte blocks, as
/// GNU tar packs them.
#[derive(Debug, Clone)]
pub struct Sparse {
    format: Format,
    size: u64,
    chunks: Vec<(u64, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    OldGnu,
    Pax00,
    Pax01,
    Pax10,
}

impl Sparse {
    /// GNU's type `S` with up to four chunks in the header and more in extension blocks.
    pub fn old_gnu(size: u64, chunks: &[(u64, &[u8])]) -> Self {
        Self::new(Format::OldGnu, size, chunks)
    }

    /// PAX 0.0: repeated `GNU.sparse.offset` and `GNU.sparse.numbytes` records.
    pub fn pax_0_0(size: u64, chunks: &[(u64, &[u8])]) -> Self {
        Self::new(Format::Pax00, size, chunks)
    }

    /// PAX 0.1: one `GNU.sparse.map` record.
    pub fn pax_0_1(size: u64, chunks: &[(u64, &[u8])]) -> Self {
        Self::new(Format::Pax01, size, chunks)
    }

    /// PAX 1.0: the map stands in front of the data.
    pub fn pax_1_0(size: u64, chunks: &[(u64, &[u8])]) -> Self {
        Self::new(Format::Pax10, size, chunks)
    }

    /// What the file holds: zeros where there is no chunk.
    pub fn expanded(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.size).expect("a size that fits in memory")];
        for (offset, data) in &self.chunks {
            let start = usize::try_from(*offset).expect("an offset that fits in memory");
            content[start..start + data.len()].copy_from_slice(data);
        }
        content
    }

    fn new(format: Format, size: u64, chunks: &[(u64, &[u8])]) -> Self {
        let mut inner = chunks.iter().rev().skip(1);
        let aligned = inner.all(|(_, data)| data.len() % BLOCK == 0);
        assert!(aligned, "GNU tar starts every chunk at a block");
        let mut chunks: Vec<_> = chunks
            .iter()
            .map(|(offset, data)| (*offset, data.to_vec()))
            .collect();
        // An empty chunk at the end stands for a hole there, as GNU tar writes it.
        let end = chunks
            .last()
            .map_or(0, |(offset, data)| offset + data.len() as u64);
        if end < size {
            chunks.push((size, Vec::new()));
        }
        Self {
            format,
            size,
            chunks,
        }
    }

    pub(super) fn write(
        &self,
        mut header: Header,
        path: &[u8],
        pax: Vec<(Vec<u8>, Vec<u8>)>,
        out: &mut Vec<u8>,
    ) {
        let packed: Vec<u8> = self
            .chunks
            .iter()
            .flat_map(|(_, data)| data.clone())
            .collect();
        let records = [pax, self.records(path)].concat();
        match self.format {
            Format::OldGnu => self.write_old_gnu(header, &records, &packed, out),
            Format::Pax00 | Format::Pax01 => {
                header.size = packed.len() as u64;
                header.name = placeholder(path);
                write_member(&header, &records, &packed, out);
            }
            Format::Pax10 => {
                let content = [self.map_block(), packed].concat();
                header.size = content.len() as u64;
                header.name = placeholder(path);
                write_member(&header, &records, &content, out);
            }
        }
    }

    fn records(&self, path: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let record = |key: &str, value: String| {
            (format!("GNU.sparse.{key}").into_bytes(), value.into_bytes())
        };
        let name = (b"GNU.sparse.name".to_vec(), path.to_vec());
        let count = record("numblocks", self.chunks.len().to_string());
        match self.format {
            Format::OldGnu => Vec::new(),
            Format::Pax00 => {
                let mut records = vec![record("size", self.size.to_string()), count, name];
                for (offset, data) in &self.chunks {
                    records.push(record("offset", offset.to_string()));
                    records.push(record("numbytes", data.len().to_string()));
                }
                records
            }
            Format::Pax01 => {
                vec![
                    record("size", self.size.to_string()),
                    count,
                    name,
                    record("map", self.map(",")),
                ]
            }
            Format::Pax10 => {
                let (major, minor) = (record("major", "1".into()), record("minor", "0".into()));
                vec![
                    major,
                    minor,
                    name,
                    record("realsize", self.size.to_string()),
                ]
            }
        }
    }

    fn map(&self, separator: &str) -> String {
        let numbers = self
            .chunks
            .iter()
            .flat_map(|(offset, data)| [*offset, data.len() as u64]);
        numbers
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join(separator)
    }

    fn map_block(&self) -> Vec<u8> {
        let mut block = format!("{}\n{}\n", self.chunks.len(), self.map("\n")).into_bytes();
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    fn write_old_gnu(
        &self,
        mut header: Header,
        pax: &[(Vec<u8>, Vec<u8>)],
        packed: &[u8],
        out: &mut Vec<u8>,
    ) {
        (header.typeflag, header.magic, header.size) = (b'S', Magic::Gnu, packed.len() as u64);
        let at = out.len();
        write_member(&header, pax, &[], out);
        let at = at.max(out.len() - BLOCK);
        let (first, rest) = self.chunks.split_at(self.chunks.len().min(4));
        put_chunks(&mut out[at + 386..at + 482], first);
        out[at + 482] = u8::from(!rest.is_empty());
        number(&mut out[at + 483..at + 495], self.size);
        seal(&mut out[at..at + BLOCK]);
        write_extension_blocks(rest, out);
        out.extend_from_slice(packed);
        out.resize(
            out.len() + packed.len().next_multiple_of(BLOCK) - packed.len(),
            0,
        );
    }
}

/// GNU tar hides the packed data from readers that do not know the format under such a name.
fn placeholder(path: &[u8]) -> Vec<u8> {
    let at = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |at| at + 1);
    [&path[..at], b"GNUSparseFile.0/", &path[at..]].concat()
}

fn write_extension_blocks(chunks: &[(u64, Vec<u8>)], out: &mut Vec<u8>) {
    let mut groups = chunks.chunks(21).peekable();
    while let Some(group) = groups.next() {
        let mut block = [0; BLOCK];
        put_chunks(&mut block[..504], group);
        block[504] = u8::from(groups.peek().is_some());
        out.extend_from_slice(&block);
    }
}

fn put_chunks(field: &mut [u8], chunks: &[(u64, Vec<u8>)]) {
    for (slot, (offset, data)) in field.chunks_mut(24).zip(chunks) {
        number(&mut slot[..12], *offset);
        number(&mut slot[12..], data.len() as u64);
    }
}
