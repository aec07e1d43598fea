//! Records of an extended header, read strictly.
//!
//! Source: POSIX, `pax` utility, "pax Extended Header": each record is `LENGTH KEY=VALUE\n`. What is
//! malformed is refused rather than passed over, because another program might read it.

use crate::error::EntryProblem;

/// A record: its key and its value.
pub(crate) type Record<'a> = (&'a str, &'a [u8]);

/// Take an extended header apart.
pub(crate) fn records(mut bytes: &[u8]) -> Result<Vec<Record<'_>>, EntryProblem> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = split_record(bytes).ok_or(EntryProblem::BadPaxRecord)?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

/// The value that counts for `key`: that of the last record.
pub(crate) fn last<'a>(records: &[Record<'a>], key: &str) -> Option<&'a [u8]> {
    records
        .iter()
        .rev()
        .find(|(k, _)| *k == key)
        .map(|(_, value)| *value)
}

fn split_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    let digits = bytes.get(..space)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record
        .iter()
        .position(|b| *b == b'=')
        .filter(|at| *at > 0)?;
    let key = std::str::from_utf8(&record[..equals]).ok()?;
    Some(((key, &record[equals + 1..]), &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_record_counts_and_values_may_hold_anything() {
        let read = records(b"9 path=a\n11 k=\n=\xff x\n9 path=b\n").unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(last(&read, "path"), Some(&b"b"[..]));
        assert_eq!(last(&read, "k"), Some(&b"\n=\xff x"[..]));
        assert_eq!(last(&read, "absent"), None);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"x path=a\n"[..],
            b"99999999999999999999 p=a\n",
            b"8 path=a\n",
            b"11 path=a\n",
            b"9 path:a\n",
            b"5 =a\n",
            b"+9 path=a\n",
            b"9 path=a",
            b"\0",
        ] {
            assert!(records(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
