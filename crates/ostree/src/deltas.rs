//! Static deltas as far as the store must know them: where they stand and what they lead to.
//!
//! Source: libostree's `_ostree_get_relative_static_delta_path`: checksums in base64 without padding,
//! `_` for `/`, the first two characters being a directory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ostree_format::Checksum;
use rustix::fs::AtFlags;

use crate::Repo;

/// A static delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeltaName {
    /// The commit it starts from; `None` when it starts from nothing.
    pub from: Option<Checksum>,
    /// The commit it leads to.
    pub to: Checksum,
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

    fn parse(head: &str, tail: &str) -> Option<Self> {
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

fn encode(checksum: &Checksum) -> String {
    STANDARD_NO_PAD
        .encode(checksum.as_bytes())
        .replace('/', "_")
}

fn decode(text: &str) -> Option<Checksum> {
    let bytes = STANDARD_NO_PAD.decode(text.replace('_', "/")).ok()?;
    Checksum::from_slice(&bytes)
}

impl Repo {
    /// All static deltas of this repository, sorted.
    ///
    /// # Errors
    /// What the system said.
    pub fn list_deltas(&self) -> Result<Vec<DeltaName>, durable::Error> {
        let mut deltas = Vec::new();
        for (head, is_dir) in self.names_in("deltas")? {
            if !is_dir {
                continue;
            }
            for (tail, _) in self.names_in(&format!("deltas/{head}"))? {
                let superblock = format!("deltas/{head}/{tail}/superblock");
                if rustix::fs::accessat(
                    self.dir(),
                    &superblock,
                    rustix::fs::Access::EXISTS,
                    AtFlags::empty(),
                )
                .is_ok()
                {
                    deltas.extend(DeltaName::parse(&head, &tail));
                }
            }
        }
        deltas.sort_unstable();
        Ok(deltas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that `ostree static-delta generate` gave the recorded deltas.
    #[test]
    fn names_go_to_directories_and_back() {
        let v1: Checksum = "f161c393db2b61ab94803d9153e3273b6d297fdce4ef6de75c81c64f918496fa"
            .parse()
            .unwrap();
        let v2: Checksum = "d5db12a3732412399fd2e5f55cb482ac541c0ff3ba1a1e22a979cb96c67102cd"
            .parse()
            .unwrap();
        for (from, to, path) in [
            (
                None,
                v2,
                "deltas/1d/sSo3MkEjmf0uX1XLSCrFQcD_O6Gh4iqXnLlsZxAs0",
            ),
            (
                Some(v1),
                v2,
                "deltas/8W/HDk9srYauUgD2RU+MnO20pf9zk723nXIHGT5GElvo-1dsSo3MkEjmf0uX1XLSCrFQcD_O6Gh4iqXnLlsZxAs0",
            ),
        ] {
            let name = DeltaName { from, to };
            assert_eq!(name.directory(), path);
            let (head, tail) = path["deltas/".len()..].split_once('/').unwrap();
            assert_eq!(DeltaName::parse(head, tail), Some(name));
        }
        assert_eq!(DeltaName::parse("xx", "yy"), None);
    }
}
