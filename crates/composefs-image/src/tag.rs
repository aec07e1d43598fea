//! Names of images as references: a tag may have slashes, a name of a file may not.

/// In front of all tags.
pub(crate) const PREFIX: &str = "oci/";

pub(crate) fn encode(tag: &str) -> String {
    format!("{PREFIX}{}", tag.replace('%', "%25").replace('/', "%2F"))
}

pub(crate) fn decode(reference: &str) -> Option<String> {
    let name = reference.strip_prefix(PREFIX)?;
    // In this order, what stood for a percent sign is not taken for one that begins an escape.
    Some(name.replace("%2F", "/").replace("%25", "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_comes_back() {
        for tag in [
            "a",
            "registry:quay.io/os/image:tag",
            "50%",
            "%2F",
            "%252F/%25",
        ] {
            let reference = encode(tag);
            assert!(!reference[PREFIX.len()..].contains('/'), "{reference}");
            assert_eq!(decode(&reference).as_deref(), Some(tag));
        }
        assert_eq!(encode("a/b%c"), "oci/a%2Fb%25c");
        assert_eq!(decode("oci-referrers/x"), None);
    }
}
