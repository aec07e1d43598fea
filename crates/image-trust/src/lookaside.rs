//! Where signatures of images in registries are: containers-registries.d(5).

use std::collections::BTreeMap;

use error_class::{Classified, ErrorClass};
use yaml_rust2::{Yaml, YamlLoader};

/// What registries.d says. Without any, signatures are looked for in a directory of this machine and
/// not in registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookaside {
    default: Option<Entry>,
    scopes: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    base: Option<String>,
    attachments: Option<bool>,
}

/// Where signatures are when nothing says where.
const USUAL_BASE: &str = "file:///var/lib/containers/sigstore";

impl Lookaside {
    /// Adds a file. `origin` names it in messages.
    ///
    /// # Errors
    /// [`LookasideError`]: it is malformed, or says something about what another file has covered.
    pub fn add(&mut self, origin: &str, text: &str) -> Result<(), LookasideError> {
        let malformed = |cause: String| LookasideError {
            origin: origin.to_owned(),
            cause,
        };
        let documents =
            YamlLoader::load_from_str(text).map_err(|cause| malformed(cause.to_string()))?;
        let Some(document) = documents.first().filter(|document| !document.is_null()) else {
            return Ok(());
        };
        let fields = document
            .as_hash()
            .ok_or_else(|| malformed("it is not a mapping".to_owned()))?;
        for (name, value) in fields {
            match name.as_str() {
                Some("default-docker") => {
                    let entry = Entry::parse(value).map_err(malformed)?;
                    if self.default.replace(entry).is_some() {
                        return Err(malformed("default-docker was given before".to_owned()));
                    }
                }
                Some("docker") => self.add_scopes(value).map_err(malformed)?,
                _ => return Err(malformed(format!("{name:?} is not known"))),
            }
        }
        Ok(())
    }

    fn add_scopes(&mut self, value: &Yaml) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        let scopes = value.as_hash().ok_or("docker is not a mapping")?;
        for (scope, value) in scopes {
            let scope = scope.as_str().ok_or("a scope is not text")?;
            let entry = Entry::parse(value)?;
            if self.scopes.insert(scope.to_owned(), entry).is_some() {
                return Err(format!("{scope} was given before"));
            }
        }
        Ok(())
    }

    /// The address below which signatures are, for an image with these scopes, the most specific first.
    #[must_use]
    pub fn base(&self, scopes: &[String]) -> &str {
        self.first(scopes, |entry| entry.base.as_deref())
            .unwrap_or(USUAL_BASE)
    }

    /// Whether signatures are in the registry too.
    #[must_use]
    pub fn uses_attachments(&self, scopes: &[String]) -> bool {
        self.first(scopes, |entry| entry.attachments)
            .unwrap_or(false)
    }

    fn first<'a, T>(
        &'a self,
        scopes: &[String],
        field: impl Fn(&'a Entry) -> Option<T>,
    ) -> Option<T> {
        let scoped = scopes.iter().filter_map(|scope| self.scopes.get(scope));
        scoped.chain(&self.default).find_map(field)
    }
}

impl Entry {
    fn parse(value: &Yaml) -> Result<Self, String> {
        let mut entry = Self::default();
        let mut old = None;
        for (name, value) in value.as_hash().ok_or("an entry is not a mapping")? {
            let text = || {
                value
                    .as_str()
                    .map(str::to_owned)
                    .ok_or("an address is not text")
            };
            match name.as_str() {
                Some("lookaside") => entry.base = Some(text()?),
                Some("sigstore") => old = Some(text()?),
                Some("use-sigstore-attachments") => {
                    let wanted = value
                        .as_bool()
                        .ok_or("use-sigstore-attachments is not a boolean")?;
                    entry.attachments = Some(wanted);
                }
                // Where signatures are written to is of no concern here.
                Some("lookaside-staging" | "sigstore-staging") => {}
                _ => return Err(format!("{name:?} is not known")),
            }
        }
        entry.base = entry.base.or(old);
        Ok(entry)
    }
}

/// A file of registries.d cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signature configuration {origin} is malformed: {cause}")]
pub struct LookasideError {
    origin: String,
    cause: String,
}

impl Classified for LookasideError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    // After the example of containers-registries.d(5).
    #[test]
    fn the_most_specific_scope_decides_each_question() {
        let mut lookaside = Lookaside::default();
        lookaside
            .add(
                "a",
                "# comment\ndefault-docker:\n  lookaside: file:///mnt/sigs\n  sigstore: http://old\n",
            )
            .unwrap();
        lookaside
            .add(
                "b",
                "docker:\n    a.io:\n        sigstore: \"https://sigs\"\n        lookaside-staging: file:///s\n    \
                 a.io/org:\n        use-sigstore-attachments: true\n",
            )
            .unwrap();
        let org = scopes(&["a.io/org/os:1", "a.io/org/os", "a.io/org", "a.io"]);
        assert_eq!(lookaside.base(&org), "https://sigs");
        assert!(lookaside.uses_attachments(&org));
        let other = scopes(&["b.io/x", "b.io"]);
        assert_eq!(lookaside.base(&other), "file:///mnt/sigs");
        assert!(!lookaside.uses_attachments(&other));
        assert_eq!(
            Lookaside::default().base(&other),
            "file:///var/lib/containers/sigstore"
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "docker: [1]",
            "other: {}",
            "docker:\n  a.io:\n    lookasid: x\n",
            "default-docker:\n  use-sigstore-attachments: maybe\n",
            "docker:\n\t- x",
            "text",
        ] {
            assert!(Lookaside::default().add("a", bad).is_err(), "{bad}");
        }
        let mut twice = Lookaside::default();
        twice
            .add("a", "docker:\n  a.io:\n    lookaside: x\n")
            .unwrap();
        assert!(
            twice
                .add("b", "docker:\n  a.io:\n    lookaside: y\n")
                .is_err()
        );
        assert!(twice.add("c", "").is_ok());
    }
}
