//! `--fsync=POLICY`, as several verbs take it.

/// Whether to sync, in the words that `ostree` accepts.
pub(super) fn parse(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "none" => Ok(false),
        _ => Err(format!("Invalid boolean argument '{text}'")),
    }
}
