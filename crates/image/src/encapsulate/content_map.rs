//! Which component (a package, mostly) a content object belongs to, as its builder says.
//!
//! The format is that of `ostree-ext-cli container encapsulate --contentmeta`, version 1.

use std::collections::{BTreeMap, HashMap};

use error_class::{Classified, ErrorClass};
use ostree_format::Checksum;
use serde::Deserialize;

/// Why a content map cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentMapError {
    /// It is no content map.
    #[error("the content map is malformed: {0}")]
    Json(#[from] serde_json::Error),
    /// It is one of another version.
    #[error("the content map has version {0}; version 1 is supported")]
    Version(u32),
    /// It asks for what is not supported.
    #[error("the content map asks for ordered layers, which are not supported")]
    Ordered,
    /// An object is given to a component that is not listed.
    #[error(
        "the content map gives object {object} to {component:?}, which is not among its layers"
    )]
    NoSuchComponent {
        /// The object.
        object: Checksum,
        /// The component.
        component: String,
    },
}

impl Classified for ContentMapError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Version(_) | Self::Ordered => ErrorClass::Unsupported,
            Self::Json(_) | Self::NoSuchComponent { .. } => ErrorClass::InvalidInput,
        }
    }
}

/// Which component a content object belongs to.
#[derive(Debug, Clone, Default)]
pub struct ContentMap {
    /// When the content was made (RFC 3339), if that is said.
    pub created: Option<String>,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// Components in the order of the file: identifier, and name for humans.
    pub components: Vec<(String, String)>,
    /// For each object the position of its component.
    pub objects: HashMap<Checksum, usize>,
}

#[derive(Deserialize)]
struct Raw {
    version: u32,
    created: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    layers: InOrder,
    mapping: BTreeMap<Checksum64, String>,
    ordered: Option<bool>,
}

/// A checksum as a key of a JSON object.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Checksum64(Checksum);

impl<'de> Deserialize<'de> for Checksum64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A JSON object of texts, in the order in which it is written.
struct InOrder(Vec<(String, String)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = InOrder;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<InOrder, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl ContentMap {
    /// Parse a content map.
    ///
    /// # Errors
    /// [`ContentMapError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ContentMapError> {
        let raw: Raw = serde_json::from_slice(bytes)?;
        if raw.version != 1 {
            return Err(ContentMapError::Version(raw.version));
        }
        if raw.ordered == Some(true) {
            return Err(ContentMapError::Ordered);
        }
        let components = raw.layers.0;
        let places: HashMap<&str, usize> = components
            .iter()
            .enumerate()
            .map(|(at, (id, _))| (id.as_str(), at))
            .collect();
        let mut objects = HashMap::with_capacity(raw.mapping.len());
        for (Checksum64(object), component) in raw.mapping {
            let place = places.get(component.as_str()).copied();
            let place = place.ok_or(ContentMapError::NoSuchComponent { object, component })?;
            objects.insert(object, place);
        }
        Ok(Self {
            created: raw.created,
            labels: raw.labels.unwrap_or_default(),
            components,
            objects,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ContentMap, ContentMapError> {
        ContentMap::from_json(json.as_bytes())
    }

    #[test]
    fn components_stay_in_the_order_of_the_file() {
        let object = "ab".repeat(32);
        let map = parse(&format!(
            r#"{{"version":1,"layers":{{"z":"Zed","a":"A"}},"mapping":{{"{object}":"a"}}}}"#
        ))
        .unwrap();
        assert_eq!(map.components[0], ("z".to_owned(), "Zed".to_owned()));
        assert_eq!(map.objects[&object.parse().unwrap()], 1);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let object = "ab".repeat(32);
        let cases = [
            (
                r#"{"version":2,"layers":{},"mapping":{}}"#.to_owned(),
                "version 2",
            ),
            (
                r#"{"version":1,"ordered":true,"layers":{},"mapping":{}}"#.to_owned(),
                "ordered",
            ),
            (
                format!(r#"{{"version":1,"layers":{{}},"mapping":{{"{object}":"x"}}}}"#),
                "\"x\"",
            ),
            (
                r#"{"version":1,"layers":{},"mapping":{"short":"x"}}"#.to_owned(),
                "malformed",
            ),
        ];
        for (json, expected) in cases {
            let error = parse(&json).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
