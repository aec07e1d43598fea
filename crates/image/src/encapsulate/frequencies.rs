//! How often components change, as their builder says.
//!
//! The format is what `rpm-ostree compose container-encapsulate --write-contentmeta-json` writes: a list of
//! components with `identifier`, `name`, `srcid` and `change_frequency`.

use std::collections::HashMap;

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

/// A list of components cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the list of components is malformed: {0}")]
pub struct FrequenciesError(#[from] serde_json::Error);

impl Classified for FrequenciesError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// How often components change, by identifier, source or name. Only the relation between the numbers
/// counts; the largest there is (`u32::MAX`) means with every build.
#[derive(Debug, Clone, Default)]
pub struct Frequencies(HashMap<String, u32>);

#[derive(Deserialize)]
struct Raw {
    identifier: String,
    name: String,
    srcid: Option<String>,
    change_frequency: u32,
}

impl Frequencies {
    /// Parse a list.
    ///
    /// # Errors
    /// [`FrequenciesError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, FrequenciesError> {
        let raw: Vec<Raw> = serde_json::from_slice(bytes)?;
        let mut known = HashMap::new();
        // Several packages of one source: the one that changes most often decides.
        let mut note = |key: String, frequency: u32| {
            let entry = known.entry(key).or_insert(frequency);
            *entry = frequency.max(*entry);
        };
        for component in raw {
            let frequency = component.change_frequency;
            note(component.identifier, frequency);
            note(component.name, frequency);
            if let Some(source) = component.srcid {
                note(
                    super::packages::without_release(&source).to_owned(),
                    frequency,
                );
                note(source, frequency);
            }
        }
        Ok(Self(known))
    }

    /// How often the component changes that has this identifier and name.
    pub(super) fn of(&self, id: &str, name: &str) -> Option<u32> {
        self.0.get(id).or_else(|| self.0.get(name)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_rpm_ostree_is_understood() {
        let list = br#"[
            {"identifier":"1.glibc","name":"glibc","srcid":"glibc-2.35-4.fc36.src.rpm","change_time_offset":3,"change_frequency":9,"size":5},
            {"identifier":"2.glibc-common","name":"glibc-common","srcid":"glibc-2.35-4.fc36.src.rpm","change_time_offset":3,"change_frequency":12,"size":5},
            {"identifier":"unpackaged","name":"unpackaged","srcid":"unpackaged","change_time_offset":0,"change_frequency":4294967295,"size":5}
        ]"#;
        let frequencies = Frequencies::from_json(list).unwrap();
        assert_eq!(frequencies.of("2.glibc-common", "x"), Some(12));
        assert_eq!(frequencies.of("glibc", "glibc"), Some(12));
        assert_eq!(frequencies.of("x", "unpackaged"), Some(u32::MAX));
        assert_eq!(frequencies.of("bash", "bash"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "{}", "[1]", r#"[{"identifier":"a"}]"#] {
            assert!(Frequencies::from_json(text.as_bytes()).is_err(), "{text}");
        }
    }
}
