//! Where a registry's images really come from: containers-registries.conf(5), version 2.
//!
//! Mirrors, rewritten locations, blocked and insecure registries, aliases of short names, credential
//! helpers. Which files there are and in which order they come is the caller's business; of two files
//! that say something about the same prefix, the later one is followed.
//!
//! Not followed: `unqualified-search-registries` and `short-name-mode`. A name without a registry that
//! no alias explains means Docker Hub, as it does to skopeo and bootc.

use std::collections::BTreeMap;
use std::fmt;

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

use crate::reference::RegistryReference;

mod prefix;

use prefix::Prefix;

/// The name among credential helpers that stands for the credentials files.
const AUTH_FILES: &str = "containers-auth.json";

/// What configuration says about registries. Without any, every image comes from where its name says.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    tables: BTreeMap<String, Table>,
    aliases: BTreeMap<String, String>,
    credential_helpers: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Table {
    origin: String,
    prefix: Prefix,
    location: Option<String>,
    blocked: bool,
    insecure: bool,
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone)]
struct Mirror {
    location: String,
    insecure: bool,
    use_for: UseFor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UseFor {
    All,
    DigestOnly,
    TagOnly,
}

/// A place that has an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The image's name there.
    pub name: RegistryReference,
    /// Whether plain HTTP and any certificate are allowed.
    pub insecure: bool,
    /// The file and prefix that led here; none when the name itself did.
    pub by: Option<String>,
}

impl Registries {
    /// Adds a file. `origin` names it in messages.
    ///
    /// # Errors
    /// [`RegistriesError`]; nothing of the file is followed then.
    pub fn add(&mut self, origin: &str, bytes: &[u8]) -> Result<(), RegistriesError> {
        let at = Origin(origin);
        let file: File = toml::from_slice(bytes).map_err(|cause| at.malformed(&cause))?;
        if file.registries.is_some() {
            return Err(RegistriesError::OldVersion(origin.to_owned()));
        }
        let tables = file.registry.iter();
        let tables: Result<Vec<_>, _> = tables.map(|entry| at.table(entry)).collect();
        for table in tables? {
            self.tables.insert(table.prefix.to_string(), table);
        }
        for (short, full) in file.aliases {
            if full.is_empty() {
                self.aliases.remove(&short);
            } else {
                self.aliases.insert(short, full);
            }
        }
        if file.credential_helpers.is_some() {
            self.credential_helpers = file.credential_helpers;
        }
        Ok(())
    }

    /// The name that a short one is an alias of, with tag and digest kept. None when it is not short,
    /// or nothing is known about it.
    #[must_use]
    pub fn alias_of(&self, name: &str) -> Option<String> {
        let end = name.find([':', '@']).unwrap_or(name.len());
        let (bare, rest) = name.split_at(end);
        self.aliases.get(bare).map(|full| format!("{full}{rest}"))
    }

    /// The helper programs to ask for credentials, by name, when the configuration lists any beside the
    /// files: those before the files, and those after.
    #[must_use]
    pub fn credential_helpers(&self) -> (Vec<String>, Vec<String>) {
        let Some(all) = &self.credential_helpers else {
            return Default::default();
        };
        let at = all.iter().position(|name| name == AUTH_FILES);
        let (before, after) = all.split_at(at.unwrap_or(all.len()));
        let after = after.iter().skip(1);
        (before.to_vec(), after.cloned().collect())
    }

    /// The places to ask for an image, in order: mirrors, then the place itself.
    ///
    /// # Errors
    /// [`SourceError`]: the image is blocked, or a location does not give a name.
    pub fn sources(&self, name: &RegistryReference) -> Result<Vec<Endpoint>, SourceError> {
        let text = tagged(name);
        let Some((table, matched)) = self.table_for(&text) else {
            return Ok(vec![Endpoint {
                name: name.clone(),
                insecure: false,
                by: None,
            }]);
        };
        if table.blocked {
            return Err(SourceError::Blocked {
                name: name.clone(),
                by: table.to_string(),
            });
        }
        let wanted = if name.digest().is_some() {
            UseFor::DigestOnly
        } else {
            UseFor::TagOnly
        };
        let rest = &text[matched..];
        let mirrors = table
            .mirrors
            .iter()
            .filter(|mirror| [UseFor::All, wanted].contains(&mirror.use_for))
            .map(|mirror| table.endpoint(&mirror.location, rest, mirror.insecure));
        let itself = match &table.location {
            Some(location) => table.endpoint(location, rest, table.insecure),
            None => Ok(Endpoint {
                name: name.clone(),
                insecure: table.insecure,
                by: Some(table.to_string()),
            }),
        };
        mirrors.chain([itself]).collect()
    }

    /// The most specific table, and how many bytes of the name its prefix stands for.
    fn table_for(&self, text: &str) -> Option<(&Table, usize)> {
        self.tables
            .values()
            .filter_map(|table| Some((table, table.prefix.matches(text)?)))
            .max_by_key(|(table, _)| table.prefix.specificity())
    }
}

/// The full name with a tag or digest, which is what prefixes are compared with.
fn tagged(name: &RegistryReference) -> String {
    if name.tag().is_none() && name.digest().is_none() {
        return format!("{name}:latest");
    }
    name.to_string()
}

impl Table {
    fn endpoint(
        &self,
        location: &str,
        rest: &str,
        insecure: bool,
    ) -> Result<Endpoint, SourceError> {
        let text = format!("{location}{rest}");
        let name = text.parse::<RegistryReference>();
        // A location without a host would be completed to one of Docker Hub.
        let name = name.ok().filter(|name| name.to_string() == text);
        name.map(|name| Endpoint {
            name,
            insecure,
            by: Some(self.to_string()),
        })
        .ok_or_else(|| SourceError::Location {
            by: self.to_string(),
            location: location.to_owned(),
            result: text,
        })
    }
}

/// The file and the prefix, as messages name a table.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, registry {}", self.origin, self.prefix)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    registry: Vec<Entry>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    credential_helpers: Option<Vec<String>>,
    /// The table of version 1.
    registries: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorEntry {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<UseFor>,
}

struct Origin<'a>(&'a str);

impl Origin<'_> {
    fn malformed(&self, cause: &dyn fmt::Display) -> RegistriesError {
        RegistriesError::Malformed {
            origin: self.0.to_owned(),
            cause: cause.to_string(),
        }
    }

    fn table(&self, entry: &Entry) -> Result<Table, RegistriesError> {
        let location = trimmed(&entry.location);
        let prefix = match trimmed(&entry.prefix) {
            "" => location,
            prefix => prefix,
        };
        let parsed = Prefix::parse(prefix).filter(|p| !location.is_empty() || p.is_wildcard());
        let prefix = parsed.ok_or_else(|| {
            let text = format!("registry {prefix:?} needs a location, and a prefix with a host");
            self.malformed(&text)
        })?;
        let by_digest = entry.mirror_by_digest_only;
        let mirrors = entry.mirror.iter();
        let mirrors: Result<_, _> = mirrors.map(|m| self.mirror(m, by_digest)).collect();
        Ok(Table {
            origin: self.0.to_owned(),
            location: (!location.is_empty()).then(|| location.to_owned()),
            prefix,
            blocked: entry.blocked,
            insecure: entry.insecure,
            mirrors: mirrors?,
        })
    }

    fn mirror(&self, entry: &MirrorEntry, by_digest: bool) -> Result<Mirror, RegistriesError> {
        let location = trimmed(&entry.location);
        if location.is_empty() || location.contains("://") {
            return Err(self.malformed(&format!("mirror location {location:?} is not host/path")));
        }
        if by_digest && entry.pull_from_mirror.is_some() {
            let text =
                format!("mirror {location:?}: mirror-by-digest-only excludes pull-from-mirror");
            return Err(self.malformed(&text));
        }
        let otherwise = if by_digest {
            UseFor::DigestOnly
        } else {
            UseFor::All
        };
        Ok(Mirror {
            location: location.to_owned(),
            insecure: entry.insecure,
            use_for: entry.pull_from_mirror.unwrap_or(otherwise),
        })
    }
}

fn trimmed(location: &str) -> &str {
    location.trim_end_matches('/')
}

/// A configuration file is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistriesError {
    /// It is not TOML of the right form.
    #[error("registries configuration {origin} is malformed: {cause}")]
    Malformed {
        /// The file.
        origin: String,
        /// Where and why.
        cause: String,
    },
    /// It is in a format that containers' tools have given up.
    #[error(
        "registries configuration {0} is in version 1 of its format, which is not supported: rewrite it as \
         described in containers-registries.conf(5)"
    )]
    OldVersion(String),
}

impl Classified for RegistriesError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Malformed { .. } => ErrorClass::InvalidInput,
            Self::OldVersion(_) => ErrorClass::Unsupported,
        }
    }
}

/// Configuration does not let an image be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Configuration forbids it.
    #[error("{name} is blocked by {by}")]
    Blocked {
        /// The image.
        name: RegistryReference,
        /// The file and prefix.
        by: String,
    },
    /// A location gives no valid name.
    #[error("{by}: location {location:?} leads to {result:?}, which is not the name of an image")]
    Location {
        /// The file and prefix.
        by: String,
        /// The location.
        location: String,
        /// What it leads to.
        result: String,
    },
}

impl Classified for SourceError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Blocked { .. } => ErrorClass::Untrusted,
            Self::Location { .. } => ErrorClass::InvalidInput,
        }
    }
}

#[cfg(test)]
mod tests;
