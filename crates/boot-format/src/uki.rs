//! Unified kernel images: programs for UEFI whose sections are a kernel, an initramfs, a command line.
//!
//! Source: the specification of unified kernel images (UAPI.5), and of the format PE, as far as section headers go.

/// How many bytes from the beginning have all headers.
pub const HEADERS: usize = 4096;

/// Most sections that are looked at.
const MAX_SECTIONS: usize = 96;

/// The command line of the kernel.
pub const CMDLINE: &str = ".cmdline";
/// The kernel.
pub const LINUX: &str = ".linux";
/// The initramfs.
pub const INITRD: &str = ".initrd";
/// What the system is called: an `os-release` file.
pub const OSREL: &str = ".osrel";

/// Where a section is in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
}

/// The sections of the file that begins with `headers`; `None` when that is no such file.
#[must_use]
pub fn sections(headers: &[u8]) -> Option<Vec<Section>> {
    if headers.get(..2)? != b"MZ" {
        return None;
    }
    let start = usize::try_from(u32_at(headers, 0x3c)?).ok()?;
    if headers.get(start..start.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let count = usize::from(u16_at(headers, start.checked_add(6)?)?).min(MAX_SECTIONS);
    let optional = usize::from(u16_at(headers, start.checked_add(20)?)?);
    let table = start.checked_add(24)?.checked_add(optional)?;
    let found = (0..count).map(|index| section(headers.get(table + index * 40..)?));
    found.collect()
}

fn section(header: &[u8]) -> Option<Section> {
    let name = header.get(..8)?;
    let name = name.split(|byte| *byte == 0).next()?;
    let (in_memory, in_file) = (u32_at(header, 8)?, u32_at(header, 16)?);
    Some(Section {
        name: String::from_utf8_lossy(name).into_owned(),
        offset: u32_at(header, 20)?.into(),
        // In the file it is filled up to whole blocks.
        size: in_memory.min(in_file).into(),
    })
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let two = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as the specification lays them out: one section of 5 bytes at 512.
    fn file() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x80;
        bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
        bytes[0x86] = 1;
        bytes[0x94] = 0xf0;
        let table = 0x80 + 24 + 0xf0;
        bytes[table..table + 8].copy_from_slice(b".cmdline");
        bytes[table + 8] = 5;
        bytes[table + 17] = 2;
        bytes[table + 21] = 2;
        bytes
    }

    #[test]
    fn sections_are_found() {
        let expected = Section {
            name: CMDLINE.to_owned(),
            offset: 512,
            size: 5,
        };
        assert_eq!(sections(&file()), Some(vec![expected]));
    }

    #[test]
    fn what_is_cut_off_or_something_else_has_none() {
        let whole = file();
        let needed = 0x80 + 24 + 0xf0 + 24;
        for length in 0..needed {
            assert_eq!(sections(&whole[..length]), None, "{length}");
        }
        assert_eq!(sections(b"\x7fELF"), None);
        let mut far = whole;
        far[0x3c..0x40].copy_from_slice(&[0xff; 4]);
        assert_eq!(sections(&far), None);
    }
}
