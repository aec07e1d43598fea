//! The checksum that `tar-split` keeps of files: CRC-64 of ISO 3309.

/// The polynomial, its lowest bit first.
const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;

/// For each of eight bytes that are taken at once, what its value does to the checksum.
static TABLES: [[u64; 256]; 8] = tables();

/// A checksum in the making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc64(u64);

impl Crc64 {
    pub(super) const fn new() -> Self {
        Self(!0)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let mixed = (self.0 ^ u64::from_le_bytes(*eight)).to_le_bytes();
            let parts = mixed.iter().zip(TABLES.iter().rev());
            self.0 = parts.fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
        }
        for byte in rest {
            let [lowest, ..] = self.0.to_le_bytes();
            self.0 = TABLES[0][usize::from(lowest ^ byte)] ^ (self.0 >> 8);
        }
    }

    pub(super) const fn finish(self) -> [u8; 8] {
        (!self.0).to_be_bytes()
    }
}

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    // The first table must be whole before others are made of it.
    let mut place = 1;
    while place < 8 {
        let mut byte = 0;
        while byte < 256 {
            let below = tables[place - 1][byte];
            tables[place][byte] = tables[0][(below & 0xff) as usize] ^ (below >> 8);
            byte += 1;
        }
        place += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `tar-split` wrote them for these contents.
    #[test]
    fn checksums_are_those_of_tar_split() {
        for (content, expected) in [
            (&b"new"[..], "2ab2ddb000000000"),
            (&[b'x'; 5000][..], "19687a248185e67a"),
            (b"a", "3420000000000000"),
        ] {
            let mut crc = Crc64::new();
            for piece in content.chunks(1001) {
                crc.update(piece);
            }
            let hex: String = crc
                .finish()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(hex, expected);
        }
    }
}
