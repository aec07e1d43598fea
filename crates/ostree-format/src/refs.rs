//! Names of refs, as libostree's `ostree_validate_rev` and `ostree_parse_refspec` accept them.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};

/// A ref name: components of letters, digits, `-`, `_`, `.` and so on, separated by `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// A ref name with the remote it belongs to, if any: `[remote:]name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refspec {
    /// The remote.
    pub remote: Option<String>,
    /// The ref.
    pub name: RefName,
}

/// A string is not a ref name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid ref name {text}")]
pub struct InvalidRef {
    /// What was given.
    pub text: String,
}

impl Classified for InvalidRef {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl RefName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// libostree's pattern for one component is `[\w\d][-._\w\d]*`, with `\w` meaning Unicode letters and `_`.
fn valid_component(component: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut chars = component.chars();
    chars.next().is_some_and(word) && chars.all(|c| word(c) || c == '-' || c == '.')
}

impl FromStr for RefName {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        if text.split('/').all(valid_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRef {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Refspec {
    /// A ref of this repository itself.
    #[must_use]
    pub const fn local(name: RefName) -> Self {
        Self { remote: None, name }
    }
}

impl FromStr for Refspec {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let invalid = |_| InvalidRef {
            text: text.to_owned(),
        };
        let Some((remote, name)) = text.split_once(':') else {
            return Ok(Self {
                remote: None,
                name: text.parse()?,
            });
        };
        if !valid_component(remote) {
            return Err(InvalidRef {
                text: text.to_owned(),
            });
        }
        Ok(Self {
            remote: Some(remote.to_owned()),
            name: name.parse().map_err(invalid)?,
        })
    }
}

impl fmt::Display for Refspec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(remote) = &self.remote {
            write!(f, "{remote}:")?;
        }
        write!(f, "{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Answers of `ostree refs --create` 2022.7.
    #[test]
    fn accepts_and_refuses_as_libostree() {
        for good in ["a", "a/b", "exampleos/x86_64/standard", "a.b", "_x", "ü"] {
            assert!(good.parse::<RefName>().is_ok(), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a//b", ".", "..", "a/../b", ".a", "a b", "a~b", "a@b", "-x", "a/-b",
        ] {
            assert!(bad.parse::<RefName>().is_err(), "{bad}");
        }
        let refspec: Refspec = "origin:a/b".parse().unwrap();
        assert_eq!(refspec.remote.as_deref(), Some("origin"));
        assert_eq!(refspec.to_string(), "origin:a/b");
    }
}
