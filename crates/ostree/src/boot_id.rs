//! Which boot of the machine this is.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};

/// The identifier that the kernel gives each boot. It is part of the names of what transactions of libostree leave behind
/// when they die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootId(String);

/// It cannot be part of a file name, or is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no identifier of a boot")]
pub struct InvalidBootId(String);

impl Classified for InvalidBootId {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl FromStr for BootId {
    type Err = InvalidBootId;

    fn from_str(text: &str) -> Result<Self, InvalidBootId> {
        let text = text.trim();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match !text.is_empty() && text.bytes().all(fits) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidBootId(text.to_owned())),
        }
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_kernel_says() {
        let said = "4072029c-8b10-60d1-d31b-8422eeff9b42\n";
        assert_eq!(said.parse::<BootId>().unwrap().to_string(), said.trim());
        for bad in ["", "\n", "a/b", ".."] {
            assert!(bad.parse::<BootId>().is_err(), "{bad:?}");
        }
    }
}
