//! Reading one table of a SQLite database, whole and in memory.
//!
//! Source: SQLite's documentation, "Database File Format", sections 1 and 2.

const MAGIC: &[u8] = b"SQLite format 3\0";

/// Pages of tables: those with rows, and those that lead to them.
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

/// Deeper than any table can be.
const MAX_DEPTH: usize = 20;

/// Why a database is not understood.
type Reason = &'static str;

const DAMAGED: Reason = "the SQLite database is damaged";

/// The last column of every row of `table`, which holds blobs.
pub(super) fn blobs(database: &[u8], table: &str) -> Result<Vec<Vec<u8>>, Reason> {
    let pages = Pages::new(database)?;
    let root = root_of(&pages, table)?.ok_or("the SQLite database has no such table")?;
    let rows = pages.rows(root)?;
    let blob = |row: &Vec<u8>| columns(row).and_then(|columns| columns.last().map(|c| c.to_vec()));
    rows.iter().map(|row| blob(row).ok_or(DAMAGED)).collect()
}

/// The first page of a table, as the schema on page 1 says: columns type, name, table, page, text.
fn root_of(pages: &Pages<'_>, table: &str) -> Result<Option<usize>, Reason> {
    for row in pages.rows(1)? {
        let columns = columns(&row).ok_or(DAMAGED)?;
        if let [kind, name, _, page, ..] = columns[..]
            && kind == b"table"
            && name == table.as_bytes()
        {
            let number = page
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// A database, page by page.
struct Pages<'a> {
    bytes: &'a [u8],
    page_size: usize,
    /// Bytes of a page that are not reserved.
    usable: usize,
}

impl<'a> Pages<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Reason> {
        if !bytes.starts_with(MAGIC) || bytes.len() < 100 {
            return Err("it is no SQLite database");
        }
        let page_size = match usize::from(u16::from_be_bytes([bytes[16], bytes[17]])) {
            1 => 65_536,
            size => size,
        };
        let usable = page_size.checked_sub(usize::from(bytes[20]));
        match usable {
            Some(usable) if page_size.is_power_of_two() && usable >= 480 => Ok(Self {
                bytes,
                page_size,
                usable,
            }),
            _ => Err(DAMAGED),
        }
    }

    /// A page, by its number from 1 on.
    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let start = number.checked_sub(1)?.checked_mul(self.page_size)?;
        self.bytes.get(start..start.checked_add(self.page_size)?)
    }

    /// The records of all rows of the table that begins on a page.
    fn rows(&self, root: usize) -> Result<Vec<Vec<u8>>, Reason> {
        let mut rows = Vec::new();
        // A page that is met twice would make it endless.
        let mut left = self.bytes.len() / self.page_size;
        self.visit(root, MAX_DEPTH, &mut left, &mut rows)
            .ok_or(DAMAGED)?;
        Ok(rows)
    }

    fn visit(
        &self,
        number: usize,
        depth: usize,
        left: &mut usize,
        rows: &mut Vec<Vec<u8>>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        *left = left.checked_sub(1)?;
        let page = self.page(number)?;
        // The first page has the header of the file before its own.
        let header = page.get(if number == 1 { 100 } else { 0 }..)?;
        let kind = *header.first()?;
        let count = usize::from(u16::from_be_bytes([*header.get(3)?, *header.get(4)?]));
        let pointers = header.get(if kind == INTERIOR { 12 } else { 8 }..)?;
        let pointers = pointers.get(..count.checked_mul(2)?)?;
        for pointer in pointers.as_chunks::<2>().0 {
            let cell = page.get(usize::from(u16::from_be_bytes(*pointer))..)?;
            match kind {
                LEAF => rows.push(self.payload(cell)?),
                INTERIOR => self.visit(page_number(cell)?, depth, left, rows)?,
                _ => return None,
            }
        }
        match kind {
            INTERIOR => self.visit(page_number(header.get(8..)?)?, depth, left, rows),
            LEAF => Some(()),
            _ => None,
        }
    }

    /// The record of a cell, which goes on in other pages if it is long.
    fn payload(&self, cell: &[u8]) -> Option<Vec<u8>> {
        let (length, cell) = varint(cell)?;
        let (_row, cell) = varint(cell)?;
        let length = usize::try_from(length).ok()?;
        let local = self.local(length);
        let mut payload = cell.get(..local)?.to_vec();
        let mut next = cell.get(local..)?;
        let mut left = self.bytes.len() / self.page_size;
        while payload.len() < length {
            left = left.checked_sub(1)?;
            next = self.page(page_number(next)?)?;
            let content = next.get(4..self.usable)?;
            let wanted = content.len().min(length - payload.len());
            payload.extend_from_slice(&content[..wanted]);
        }
        Some(payload)
    }

    /// How many bytes of a record of this length are in its cell.
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        if fitting <= most { fitting } else { least }
    }
}

fn page_number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()
}

/// The columns of a record, as bytes.
fn columns(record: &[u8]) -> Option<Vec<&[u8]>> {
    let (length, _) = varint(record)?;
    let (header, mut body) = record.split_at_checked(usize::try_from(length).ok()?)?;
    let (_, mut types) = varint(header)?;
    let mut columns = Vec::new();
    while !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let (column, rest) = body.split_at_checked(usize::try_from(size).ok()?)?;
        columns.push(column);
        body = rest;
    }
    Some(columns)
}

/// A number of up to nine bytes: seven bits of each, all eight of the ninth.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(varint(&[0x81, 0x00, 7]), Some((128, &[7][..])));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, &[][..])));
        assert_eq!(varint(&[0x80]), None);
    }

    proptest! {
        #[test]
        fn no_database_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), kind in prop::sample::select(vec![LEAF, INTERIOR])) {
            let mut database = MAGIC.to_vec();
            database.extend([2, 0, 1, 1, 0]);
            database.resize(100, 0);
            database.push(kind);
            database.extend(bytes);
            drop(blobs(&database, "Packages"));
        }
    }
}
