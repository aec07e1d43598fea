//! Canonical JSON.

use canon_json::CanonJsonSerialize;
use serde::Serialize;

/// A value as canonical JSON (RFC 8785: no spaces, keys sorted by UTF-16 code units), which is how
/// ostree-ext stores the manifest and the configuration of an image in a merge commit.
///
/// What a typed value does not know, its canonical form does not have: for the bytes as they came
/// see [`RawManifest::bytes`](crate::manifest::RawManifest::bytes).
///
/// # Errors
/// The value has a form that JSON lacks, like a map whose keys are no text; none of the types of
/// this crate has.
pub fn to_string(value: &impl Serialize) -> std::io::Result<String> {
    value.to_canon_json_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_nothing_is_padded() {
        let value = serde_json::json!({"b": [1, 2.5, "x\u{e9}\n"], "a": {"z": null, "Z": true}});
        let text = r#"{"a":{"Z":true,"z":null},"b":[1,2.5,"xé\n"]}"#;
        assert_eq!(to_string(&value).unwrap(), text);
    }
}
