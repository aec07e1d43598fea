//! Image references on the command line.

use oci::reference::{
    ImageReference, ImageReferenceError, OstreeImageReference, OstreeImageReferenceError,
    RegistryReference, Transport,
};

/// An image, and how its signature is verified; a plain `TRANSPORT:NAME` means not at all.
pub(crate) fn image(text: &str) -> Result<OstreeImageReference, String> {
    OstreeImageReference::from_user(text).map_err(|error| error.to_string())
}

/// The name of a stored image; how its signature is verified does not matter.
pub(crate) fn stored(text: &str) -> Result<ImageReference, String> {
    image(text).map(|image| image.imgref)
}

/// An image that a host is to follow: as [`image()`], and what begins with no transport is a name in a registry, as
/// users of bootc write it.
pub(crate) fn followed(text: &str) -> Result<OstreeImageReference, OstreeImageReferenceError> {
    use ImageReferenceError::{NoTransport, UnknownTransport};
    let refused = match OstreeImageReference::from_user(text) {
        Err(OstreeImageReferenceError::Image(error)) => error,
        other => return other,
    };
    // Behind a word for verification a transport is due: `ostree-image-signed:NAME` is no name.
    let names_none = match &refused {
        NoTransport(rest) => rest == text,
        UnknownTransport(word) => text.split(':').next() == Some(&word.0),
        _ => false,
    };
    if names_none && text.parse::<RegistryReference>().is_ok() {
        let image = ImageReference::new(Transport::Registry, text);
        return Ok(OstreeImageReference::unverified(image));
    }
    Err(refused.into())
}

/// [`followed`], for options.
pub(crate) fn followed_option(text: &str) -> Result<OstreeImageReference, String> {
    followed(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        followed_option(text).map(|image| image.to_string())
    }

    #[test]
    fn a_plain_name_is_one_in_a_registry() {
        for name in [
            "quay.io/os/image",
            "quay.io/os/image:latest",
            "localhost:5000/os",
            "host.example:5000/os/image:9@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "fedora:41",
        ] {
            let expected = format!("ostree-unverified-registry:{name}");
            assert_eq!(read(name), Ok(expected));
        }
        assert_eq!(
            read("oci:/dir:tag").as_deref(),
            Ok("ostree-unverified-image:oci:/dir:tag")
        );
        assert_eq!(
            read("docker://quay.io/os").as_deref(),
            Ok("ostree-unverified-registry:quay.io/os")
        );
    }

    #[test]
    fn what_is_neither_a_reference_nor_a_name_is_refused() {
        for text in [
            "",
            "Oci:/dir",
            "oci_archive:/file.tar",
            "docker:quay.io/os",
            "/a/directory",
            "ostree-image-signed:quay.io/os",
            "ostree-image-signed:fedora",
            "ostree-image-signed:fedora:41",
            "ostree-unverified-image:quay.io/os",
            "registry:",
        ] {
            read(text).unwrap_err();
        }
    }
}
