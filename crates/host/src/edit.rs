//! Changing what is wanted of a host by editing its document: another image, or what boots next.

use error_class::{Classified, ErrorClass};
use oci::reference::{OstreeImageReference, UnknownTransport};

use crate::{HostSpec, ImageSignature};

/// What an edit asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are these three")]
pub enum SpecChange {
    /// Nothing.
    Nothing,
    /// To follow another image.
    Image {
        /// The image.
        image: Box<OstreeImageReference>,
        /// Whether it says that no signature is required, rather than nothing about signatures.
        drop_signature: bool,
    },
    /// To let the other one of what runs and what can be rolled back to boot next.
    BootOrder,
}

/// Why an edit cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Two changes at once.
    #[error(
        "the image and the boot order cannot be changed at once: make one change after the other"
    )]
    Both,
    /// No image.
    #[error("spec.image must name an image: a host that follows none cannot be asked for")]
    NoImage,
    /// The transport of the image is unknown.
    #[error(transparent)]
    Transport(#[from] UnknownTransport),
}

impl Classified for SpecError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl SpecChange {
    /// What leads from one specification to another.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn between(current: &HostSpec, wanted: &HostSpec) -> Result<Self, SpecError> {
        let other_image = current.image != wanted.image;
        let other_order = current.boot_order != wanted.boot_order;
        match (other_image, other_order) {
            (true, true) => Err(SpecError::Both),
            (false, true) => Ok(Self::BootOrder),
            (false, false) => Ok(Self::Nothing),
            (true, false) => {
                let spec = wanted.required().ok_or(SpecError::NoImage)?;
                Ok(Self::Image {
                    image: Box::new(spec.image.try_into()?),
                    drop_signature: spec.image.signature == Some(ImageSignature::Insecure),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> HostSpec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn one_change_at_a_time() {
        let current = spec(r#"{"image":{"image":"a","transport":"oci"},"bootOrder":"default"}"#);
        let between = |text: &str| SpecChange::between(&current, &spec(text));
        let same = between(r#"{"image":{"image":"a","transport":"oci"}}"#).unwrap();
        assert_eq!(same, SpecChange::Nothing);
        let rollback = r#"{"image":{"image":"a","transport":"oci"},"bootOrder":"rollback"}"#;
        assert_eq!(between(rollback).unwrap(), SpecChange::BootOrder);
        let image =
            between(r#"{"image":{"image":"b","transport":"registry","signature":"insecure"}}"#);
        let image = image.unwrap();
        assert_eq!(
            image,
            SpecChange::Image {
                image: Box::new("ostree-unverified-registry:b".parse().unwrap()),
                drop_signature: true
            }
        );
        for bad in [
            r#"{"image":{"image":"b","transport":"oci"},"bootOrder":"rollback"}"#,
            r#"{"image":null}"#,
            r#"{"image":{"image":"b","transport":"tape"}}"#,
        ] {
            assert!(between(bad).is_err(), "{bad}");
        }
    }
}
