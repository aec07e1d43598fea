//! `bootroot ostree show --print-sizes`: what a pull of a commit costs, by its key `ostree.sizes`.
//!
//! The format is that of `ostree commit --generate-sizes`: an array of byte strings, one for an object,
//! each a checksum, two LEB128 numbers (bytes in an archive, bytes unpacked) and the kind of the object.

use std::io::Write;

use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::{Checksum, Commit, ObjectKind, ObjectName};

use crate::outcome::Failure;
use crate::results::Results;

const KEY: &str = "ostree.sizes";

/// Why the sizes cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SizesError {
    #[error("no metadata key {KEY} in commit {0}")]
    None(Checksum),
    #[error("commit {0} is damaged: its key {KEY} cannot be understood")]
    Damaged(Checksum),
}

impl Classified for SizesError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::None(_) => ErrorClass::NotFound,
            Self::Damaged(_) => ErrorClass::Corrupt,
        }
    }
}

#[derive(Default)]
struct Sum {
    archived: u64,
    unpacked: u64,
    objects: u64,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.archived = self.archived.saturating_add(entry.archived);
        self.unpacked = self.unpacked.saturating_add(entry.unpacked);
        self.objects += 1;
    }
}

/// What a commit says about one of its objects.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: ObjectName,
    archived: u64,
    unpacked: u64,
}

/// Prints what is needed, and what there is in all.
pub(crate) fn print(
    repo: &Repo,
    id: Checksum,
    commit: &Commit,
    out: &mut Results,
) -> Result<(), Failure> {
    let (mut needed, mut total) = (Sum::default(), Sum::default());
    for entry in entries(id, commit)? {
        if !repo.has_object(&entry.name)? {
            needed.add(&entry);
        }
        total.add(&entry);
    }
    let line = |what, needed, total| {
        format!(
            "{what} size (needed/total): {}/{}",
            human(needed),
            human(total)
        )
    };
    writeln!(
        out,
        "{}",
        line("Compressed", needed.archived, total.archived)
    )?;
    writeln!(out, "{}", line("Unpacked", needed.unpacked, total.unpacked))?;
    writeln!(
        out,
        "Number of objects (needed/total): {}/{}",
        needed.objects, total.objects
    )?;
    Ok(())
}

fn entries(id: Checksum, commit: &Commit) -> Result<Vec<Entry>, SizesError> {
    let value = commit.metadata.get(KEY).ok_or(SizesError::None(id))?;
    let array = value.as_array().ok_or(SizesError::Damaged(id))?;
    let entries: Option<Vec<Entry>> = array.iter().map(|entry| parse(entry.as_bytes()?)).collect();
    entries.ok_or(SizesError::Damaged(id))
}

fn parse(bytes: &[u8]) -> Option<Entry> {
    let (checksum, mut rest) = bytes.split_at_checked(Checksum::LEN)?;
    let archived = number(&mut rest)?;
    let unpacked = number(&mut rest)?;
    let kind = match rest {
        [] | [1] => ObjectKind::File,
        [2] => ObjectKind::DirTree,
        [3] => ObjectKind::DirMeta,
        [4] => ObjectKind::Commit,
        _ => return None,
    };
    let name = ObjectName::new(Checksum::from_slice(checksum)?, kind);
    Some(Entry {
        name,
        archived,
        unpacked,
    })
}

/// An LEB128 number of at most 64 bits.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A size as GLib's `g_format_size` writes it: powers of 1000, one digit after the point.
pub(super) fn human(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
    }
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let power = units.len().min(bytes.ilog(1000) as usize);
    #[expect(
        clippy::cast_precision_loss,
        reason = "one digit after the point is shown"
    )]
    let size = bytes as f64 / 1000_f64.powi(i32::try_from(power).unwrap_or_default());
    format!("{size:.1}\u{a0}{}", units.get(power - 1).unwrap_or(&"EB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_ends_with_its_kind_or_without() {
        let entry = |tail: &[u8]| parse(&[&[7; 32], tail].concat());
        let expected = |kind, archived, unpacked| {
            Some(Entry {
                name: ObjectName::new(Checksum::from_array([7; 32]), kind),
                archived,
                unpacked,
            })
        };
        assert_eq!(
            entry(&[0x27, 0x03, 0x01]),
            expected(ObjectKind::File, 39, 3)
        );
        assert_eq!(
            entry(&[0xa6, 0x20, 0xff, 0x1f, 0x02]),
            expected(ObjectKind::DirTree, 4134, 4095)
        );
        assert_eq!(entry(&[1, 1]), expected(ObjectKind::File, 1, 1));
        for bad in [
            &[][..],
            &[1],
            &[1, 0x80],
            &[1, 1, 99],
            &[1, 1, 1, 1],
            &[0xff; 12],
        ] {
            assert_eq!(entry(bad), None, "{bad:?}");
        }
    }

    /// Expected texts are what `g_format_size` of GLib gives.
    #[test]
    fn sizes_are_written_as_glib_writes_them() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0\u{a0}kB"),
            (1250, "1.2\u{a0}kB"),
            (1350, "1.4\u{a0}kB"),
            (999_999, "1000.0\u{a0}kB"),
            (3_600_000, "3.6\u{a0}MB"),
            (u64::MAX, "18.4\u{a0}EB"),
        ] {
            assert_eq!(human(bytes), expected);
        }
    }
}
