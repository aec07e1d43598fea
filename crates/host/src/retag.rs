//! Another tag of the same image.

use error_class::{Classified, ErrorClass};
use oci::reference::{ImageReference, PathReference, RegistryReference, Transport};

/// An image has no such tag.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetagError {
    /// The transport has no tags.
    #[error("{0} has no tags: name the image with `bootroot switch`")]
    NoTags(ImageReference),
    /// A tag has other characters.
    #[error("{0:?} cannot be a tag")]
    Invalid(String),
}

impl Classified for RetagError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// The image under another tag; a digest that it is pinned to goes.
///
/// # Errors
/// [`RetagError`].
pub fn retag(image: &ImageReference, tag: &str) -> Result<ImageReference, RetagError> {
    let invalid = || RetagError::Invalid(tag.to_owned());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if tag.is_empty() || tag.len() > 128 || !tag.bytes().all(plain) {
        return Err(invalid());
    }
    let name = match image.transport {
        Transport::Registry => {
            let name: RegistryReference = image.name.parse().map_err(|_| invalid())?;
            format!("{}/{}:{tag}", name.registry(), name.repository())
        }
        Transport::OciDir | Transport::OciArchive | Transport::DockerArchive => {
            format!("{}:{tag}", PathReference::parse(&image.name).path)
        }
        Transport::ContainersStorage | Transport::DockerDaemon | Transport::LocalDir => {
            return Err(RetagError::NoTags(image.clone()));
        }
    };
    Ok(ImageReference::new(image.transport, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_replaced_and_digests_go() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, expected) in [
            (
                "docker://quay.io:443/os/base:1",
                "docker://quay.io:443/os/base:2",
            ),
            ("docker://quay.io/os/base", "docker://quay.io/os/base:2"),
            (
                &format!("docker://quay.io/os/base@{digest}"),
                "docker://quay.io/os/base:2",
            ),
            ("oci:/srv/images:1", "oci:/srv/images:2"),
            ("oci:/srv/images", "oci:/srv/images:2"),
        ] {
            let image: ImageReference = image.parse().unwrap();
            assert_eq!(retag(&image, "2").unwrap().to_string(), expected);
        }
        let image: ImageReference = "dir:/srv/image".parse().unwrap();
        assert!(retag(&image, "2").is_err());
        let image: ImageReference = "oci:/srv/images".parse().unwrap();
        assert!(retag(&image, "a/b").is_err());
    }
}
