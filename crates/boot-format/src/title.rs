//! What the boot menu shows for a deployment.

/// The title of an entry: `NAME VERSION (ostree[:STATEROOT]:INDEX)`.
///
/// The version is left out when it is empty or the name contains it already; the stateroot is named
/// only when the menu has entries of several.
#[must_use]
pub fn title(name: &str, version: Option<&str>, stateroot: Option<&str>, index: usize) -> String {
    let version = version.filter(|v| !v.is_empty() && !name.contains(v));
    let version = version.map(|v| format!(" {v}")).unwrap_or_default();
    let stateroot = stateroot.map(|s| format!(":{s}")).unwrap_or_default();
    format!("{name}{version} (ostree{stateroot}:{index})")
}

#[cfg(test)]
mod tests {
    use super::title;

    // Titles that libostree 2026.4 wrote.
    #[test]
    fn forms_titles_as_libostree() {
        assert_eq!(
            title("Golden OS 1", Some("1.0"), None, 0),
            "Golden OS 1 1.0 (ostree:0)"
        );
        assert_eq!(
            title("Debian 12", Some("12"), Some("os"), 1),
            "Debian 12 (ostree:os:1)"
        );
        assert_eq!(title("Debian", None, None, 0), "Debian (ostree:0)");
    }
}
