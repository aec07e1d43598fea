use super::KeyQuery;
use super::keyring::{Keyring, KeyringError};

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Certificates that were not there before: what `ostree remote gpg-import` counts.
    pub new: usize,
    /// Certificates that were there; what they lacked was added.
    pub merged: usize,
}

impl Keyring {
    /// Take over from `source` the certificates that `queries` name, or all when there are none.
    ///
    /// # Errors
    /// [`KeyringError::NoSuchKey`] when a query names none; nothing is taken over then.
    pub fn import(
        &mut self,
        source: &Self,
        queries: &[KeyQuery],
    ) -> Result<Imported, KeyringError> {
        let mut chosen = Vec::new();
        for query in queries {
            chosen.push(source.select(query).ok_or_else(|| missing(query))?);
        }
        if queries.is_empty() {
            chosen.extend(&source.certificates);
        }
        let before = self.len();
        let count = chosen.len();
        chosen.into_iter().cloned().for_each(|c| self.merge(c));
        let new = self.len() - before;
        Ok(Imported {
            new,
            merged: count - new,
        })
    }
}

fn missing(query: &KeyQuery) -> KeyringError {
    let query = query.text().to_owned();
    KeyringError::NoSuchKey { query }
}
