//! The files that `--statoverride` and `--skip-list` name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};

/// Modes by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modes {
    /// Bits that are added.
    pub(super) add: BTreeMap<PathBuf, u32>,
    /// Modes that replace those that are there.
    pub(super) set: BTreeMap<PathBuf, u32>,
}

/// A line that is no mode and path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Malformed statoverride file (no space found): line {line} of {}", file.display())]
pub(super) struct Malformed {
    file: PathBuf,
    line: usize,
}

impl Classified for Malformed {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Lines `MODE PATH` (or `+MODE PATH`) and `=MODE PATH`, the mode in decimal.
pub(super) fn modes(text: &str, file: &Path) -> Result<Modes, Malformed> {
    let mut modes = Modes::default();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let malformed = || Malformed {
            file: file.to_owned(),
            line: number + 1,
        };
        let (rest, into) = match line.strip_prefix('=') {
            Some(rest) => (rest, &mut modes.set),
            None => (line.strip_prefix('+').unwrap_or(line), &mut modes.add),
        };
        let (mode, path) = rest.split_once(' ').ok_or_else(malformed)?;
        into.insert(path.into(), mode.parse().map_err(|_| malformed())?);
    }
    Ok(modes)
}

/// One path in each line.
pub(in crate::verbs::ostree) fn paths(text: &str) -> BTreeSet<PathBuf> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_decimal_and_added_or_set() {
        let modes = modes("2048 /a b\n\n=420 /c\n", Path::new("f")).unwrap();
        assert_eq!(modes.add, [("/a b".into(), 0o4000)].into());
        assert_eq!(modes.set, [("/c".into(), 0o644)].into());
    }

    #[test]
    fn a_malformed_line_is_named() {
        for text in ["420\n", "0o644 /a\n"] {
            let error = modes(text, Path::new("f")).unwrap_err();
            assert_eq!(error.line, 1, "{text}");
        }
    }
}
