use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use error_class::{Classified, ErrorClass};
use ostree_format::Checksum;

/// Which static delta: as text `TO`, or `FROM-TO`.
///
/// Source: libostree's `_ostree_get_relative_static_delta_path`: checksums in base64 without padding,
/// `_` for `/`, the first two characters being a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaName {
    /// The commit it starts from; `None` when it starts from nothing.
    pub from: Option<Checksum>,
    /// The commit it leads to.
    pub to: Checksum,
}

/// What names no static delta.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid rev {text}: a static delta is named by the checksum of a commit, or by two with a dash between"
)]
pub struct InvalidDeltaName {
    /// The half that is no checksum, shortened to 80 characters.
    pub text: String,
}

impl Classified for InvalidDeltaName {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl DeltaName {
    /// Its directory below the repository.
    #[must_use]
    pub fn directory(&self) -> String {
        let name = match &self.from {
            None => encode(&self.to),
            Some(from) => format!("{}-{}", encode(from), encode(&self.to)),
        };
        let (head, tail) = name.split_at(2);
        format!("deltas/{head}/{tail}")
    }

    /// The file of its superblock, below the repository.
    #[must_use]
    pub fn superblock_path(&self) -> String {
        format!("{}/superblock", self.directory())
    }

    /// The file of a part below the repository, and the key of one that stands in the superblock.
    #[must_use]
    pub fn part_path(&self, part: usize) -> String {
        format!("{}/{part}", self.directory())
    }

    /// The file below the repository that lists all deltas to the commit `to`.
    #[must_use]
    pub fn index_path(to: &Checksum) -> String {
        let name = encode(to);
        let (head, tail) = name.split_at(2);
        format!("delta-indexes/{head}/{tail}.index")
    }

    /// The commit whose deltas the file `tail` in the directory `head` of `delta-indexes` lists.
    #[must_use]
    pub fn indexed_commit(head: &str, tail: &str) -> Option<Checksum> {
        decode(&format!("{head}{}", tail.strip_suffix(".index")?))
    }

    /// The delta whose directory is `tail` in the directory `head` of `deltas`.
    #[must_use]
    pub fn from_directory(head: &str, tail: &str) -> Option<Self> {
        let name = format!("{head}{tail}");
        // A checksum has 43 characters, and none of them is the separator.
        Some(match name.split_once('-') {
            None => Self {
                from: None,
                to: decode(&name)?,
            },
            Some((from, to)) => Self {
                from: Some(decode(from)?),
                to: decode(to)?,
            },
        })
    }
}

impl fmt::Display for DeltaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            None => write!(f, "{}", self.to),
            Some(from) => write!(f, "{from}-{}", self.to),
        }
    }
}

impl FromStr for DeltaName {
    type Err = InvalidDeltaName;

    fn from_str(text: &str) -> Result<Self, InvalidDeltaName> {
        let checksum = |text: &str| {
            text.parse().map_err(|_| InvalidDeltaName {
                text: text.chars().take(80).collect(),
            })
        };
        Ok(match text.split_once('-') {
            None => Self {
                from: None,
                to: checksum(text)?,
            },
            Some((from, to)) => Self {
                from: Some(checksum(from)?),
                to: checksum(to)?,
            },
        })
    }
}

fn encode(checksum: &Checksum) -> String {
    STANDARD_NO_PAD
        .encode(checksum.as_bytes())
        .replace('/', "_")
}

fn decode(text: &str) -> Option<Checksum> {
    let bytes = STANDARD_NO_PAD.decode(text.replace('_', "/")).ok()?;
    Checksum::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "f161c393db2b61ab94803d9153e3273b6d297fdce4ef6de75c81c64f918496fa";
    const V2: &str = "d5db12a3732412399fd2e5f55cb482ac541c0ff3ba1a1e22a979cb96c67102cd";

    /// Names that `ostree static-delta generate` gave the recorded deltas.
    #[test]
    fn names_go_to_directories_and_back() {
        for (text, path) in [
            (
                V2.to_owned(),
                "deltas/1d/sSo3MkEjmf0uX1XLSCrFQcD_O6Gh4iqXnLlsZxAs0",
            ),
            (
                format!("{V1}-{V2}"),
                "deltas/8W/HDk9srYauUgD2RU+MnO20pf9zk723nXIHGT5GElvo-1dsSo3MkEjmf0uX1XLSCrFQcD_O6Gh4iqXnLlsZxAs0",
            ),
        ] {
            let name: DeltaName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!(name.directory(), path);
            let (head, tail) = path["deltas/".len()..].split_once('/').unwrap();
            assert_eq!(DeltaName::from_directory(head, tail), Some(name));
        }
        assert_eq!(DeltaName::from_directory("xx", "yy"), None);
    }

    #[test]
    fn an_index_is_named_by_its_commit() {
        let to = V2.parse().unwrap();
        let path = DeltaName::index_path(&to);
        assert_eq!(
            path,
            "delta-indexes/1d/sSo3MkEjmf0uX1XLSCrFQcD_O6Gh4iqXnLlsZxAs0.index"
        );
        let (head, tail) = path["delta-indexes/".len()..].split_once('/').unwrap();
        assert_eq!(DeltaName::indexed_commit(head, tail), Some(to));
        assert_eq!(DeltaName::indexed_commit(head, "x.index"), None);
    }

    #[test]
    fn garbage_is_no_name() {
        for text in [
            "GARBAGE",
            "",
            "-",
            &format!("{V1}-"),
            &format!("{V1}-{V2}-{V1}"),
        ] {
            assert!(text.parse::<DeltaName>().is_err(), "{text}");
        }
    }
}
