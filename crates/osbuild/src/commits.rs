//! The commits of an input.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// Commits in the order of the document, which decides which one is the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commits(Vec<String>);

/// What the document says of a commit.
#[derive(Deserialize)]
struct Details {
    r#ref: Option<String>,
}

impl Commits {
    /// How each is found in the repository of the input: by its ref if it has one, else by its checksum.
    #[must_use]
    pub fn into_revisions(self) -> Vec<String> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Commits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Commits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("commits by their checksums")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Commits, A::Error> {
        let mut commits = Vec::new();
        while let Some((checksum, details)) = map.next_entry::<String, Details>()? {
            commits.push(details.r#ref.unwrap_or(checksum));
        }
        Ok(Commits(commits))
    }
}
