//! Key files: repository configs, origin files and remotes, in GLib's `GKeyFile` syntax.
//!
//! Comments, order and raw text are kept, so that editing one value leaves the rest as it was.

use std::fmt;

use error_class::{Classified, ErrorClass};

/// A parsed key file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFile {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Group(String),
    Entry { key: String, raw: String },
    Other(String),
}

/// A line that is neither group, entry, comment nor blank.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {number} is not a group, an entry or a comment: {text:?}")]
pub struct KeyFileError {
    /// Counted from one.
    pub number: usize,
    /// The line.
    pub text: String,
}

impl Classified for KeyFileError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl KeyFile {
    /// An empty file.
    #[must_use]
    pub const fn new() -> Self {
        Self { lines: Vec::new() }
    }

    /// Parse a whole file.
    ///
    /// # Errors
    /// [`KeyFileError`] names the first line that does not belong.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut lines = Vec::new();
        let mut in_group = false;
        for (index, line) in text.lines().enumerate() {
            let parsed = parse_line(line).filter(|l| in_group || !matches!(l, Line::Entry { .. }));
            let parsed = parsed.ok_or_else(|| KeyFileError {
                number: index.saturating_add(1),
                text: line.chars().take(80).collect(),
            })?;
            in_group |= matches!(parsed, Line::Group(_));
            lines.push(parsed);
        }
        Ok(Self { lines })
    }

    /// The value of `key` in `group`, escapes resolved. The last entry of that name counts.
    #[must_use]
    pub fn get(&self, group: &str, key: &str) -> Option<String> {
        self.get_raw(group, key).map(unescape)
    }

    /// The value as it stands in the file.
    #[must_use]
    pub fn get_raw(&self, group: &str, key: &str) -> Option<&str> {
        self.entries(group)
            .filter(|(k, _)| *k == key)
            .last()
            .map(|(_, raw)| raw)
    }

    /// A boolean value: `true`/`1` or `false`/`0`; anything else is `None`.
    #[must_use]
    pub fn get_bool(&self, group: &str, key: &str) -> Option<bool> {
        match self.get_raw(group, key)?.trim_end() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// A list separated by semicolons.
    #[must_use]
    pub fn get_list(&self, group: &str, key: &str) -> Option<Vec<String>> {
        let raw = self.get_raw(group, key)?;
        Some(split_list(raw).iter().map(|item| unescape(item)).collect())
    }

    /// Groups in order, each once.
    #[must_use]
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for line in &self.lines {
            if let Line::Group(name) = line
                && !groups.contains(&name.as_str())
            {
                groups.push(name);
            }
        }
        groups
    }

    /// Keys of `group` in order.
    #[must_use]
    pub fn keys(&self, group: &str) -> Vec<&str> {
        self.entries(group).map(|(key, _)| key).collect()
    }

    /// Whether `group` is there.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        self.groups().contains(&group)
    }

    /// Set `key` in `group`, making the group when it is absent.
    pub fn set(&mut self, group: &str, key: &str, value: &str) {
        let raw = escape(value);
        let mut current = None;
        let mut end = None;
        for (index, line) in self.lines.iter_mut().enumerate() {
            match line {
                Line::Group(name) => current = Some(name.clone()),
                Line::Entry { key: k, raw: r } if current.as_deref() == Some(group) && k == key => {
                    *r = raw;
                    return;
                }
                _ => {}
            }
            let blank = matches!(line, Line::Other(text) if text.trim().is_empty());
            if current.as_deref() == Some(group) && !blank {
                end = Some(index.saturating_add(1));
            }
        }
        let entry = Line::Entry {
            key: key.to_owned(),
            raw,
        };
        if let Some(end) = end {
            self.lines.insert(end, entry);
            return;
        }
        if !self.lines.is_empty() {
            self.lines.push(Line::Other(String::new()));
        }
        self.lines.push(Line::Group(group.to_owned()));
        self.lines.push(entry);
    }

    /// Remove `key` from `group`; whether it was there.
    pub fn remove(&mut self, group: &str, key: &str) -> bool {
        self.retain(|current, line| {
            !(current == Some(group) && matches!(line, Line::Entry { key: k, .. } if k == key))
        })
    }

    /// Remove a whole group; whether it was there.
    pub fn remove_group(&mut self, group: &str) -> bool {
        self.retain(|current, _| current != Some(group))
    }

    fn retain(&mut self, keep: impl Fn(Option<&str>, &Line) -> bool) -> bool {
        let before = self.lines.len();
        let mut current: Option<String> = None;
        self.lines.retain(|line| {
            if let Line::Group(name) = line {
                current = Some(name.clone());
            }
            keep(current.as_deref(), line)
        });
        self.lines.len() != before
    }

    fn entries<'a, 'g>(
        &'a self,
        group: &'g str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'g> {
        let mut current: Option<&str> = None;
        self.lines.iter().filter_map(move |line| match line {
            Line::Group(name) => {
                current = Some(name);
                None
            }
            Line::Entry { key, raw } if current == Some(group) => {
                Some((key.as_str(), raw.as_str()))
            }
            _ => None,
        })
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| match line {
            Line::Group(name) => writeln!(f, "[{name}]"),
            Line::Entry { key, raw } => writeln!(f, "{key}={raw}"),
            Line::Other(text) => writeln!(f, "{text}"),
        })
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let trimmed = line.trim_start();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Some(Line::Other(line.to_owned()));
    }
    if let Some(rest) = trimmed.strip_prefix('[') {
        let name = rest.trim_end().strip_suffix(']')?;
        let valid = !name.is_empty() && !name.contains(['[', ']']);
        return valid.then(|| Line::Group(name.to_owned()));
    }
    let (key, raw) = trimmed.split_once('=')?;
    let key = key.trim_end();
    (!key.is_empty()).then(|| Line::Entry {
        key: key.to_owned(),
        raw: raw.trim_start().to_owned(),
    })
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('s') => out.push(' '),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(';') => out.push(';'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut leading = true;
    for c in value.chars() {
        match c {
            ' ' if leading => out.push_str("\\s"),
            '\n' => out.push_str("\\n"),
            '\t' if leading => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            other => out.push(other),
        }
        leading &= c == ' ' || c == '\t';
    }
    out
}

fn split_list(raw: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut escaped = false;
    for c in raw.chars() {
        if c == ';' && !escaped {
            items.push(std::mem::take(&mut item));
        } else {
            item.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    if !item.is_empty() {
        items.push(item);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# made by hand\n[core]\nrepo_version=1\nmode=bare\n\n[remote \"origin\"]\n# why\nurl=https://h/x?a=b;c#frag\nlist=a;b\\;x;\npad=\\sx\n";

    #[test]
    fn keeps_text() {
        assert_eq!(KeyFile::parse(TEXT).unwrap().to_string(), TEXT);
    }

    #[test]
    fn reads_values() {
        let file = KeyFile::parse(TEXT).unwrap();
        assert_eq!(file.get("core", "mode").as_deref(), Some("bare"));
        assert_eq!(
            file.get("remote \"origin\"", "url").as_deref(),
            Some("https://h/x?a=b;c#frag")
        );
        assert_eq!(
            file.get_list("remote \"origin\"", "list").unwrap(),
            ["a", "b;x"]
        );
        assert_eq!(file.get("remote \"origin\"", "pad").as_deref(), Some(" x"));
        assert_eq!(file.get("core", "absent"), None);
    }

    #[test]
    fn edits_in_place() {
        let mut file = KeyFile::parse(TEXT).unwrap();
        file.set("core", "mode", "archive");
        file.set("core", "new", " v");
        file.set("added", "k", "v");
        assert!(file.remove("remote \"origin\"", "pad"));
        assert!(
            file.to_string()
                .contains("mode=archive\nnew=\\sv\n\n[remote")
        );
        assert!(
            file.to_string()
                .ends_with("list=a;b\\;x;\n\n[added]\nk=v\n")
        );
    }

    #[test]
    fn refuses_garbage() {
        assert_eq!(KeyFile::parse("[core]\nnonsense\n").unwrap_err().number, 2);
        assert_eq!(KeyFile::parse("a=b\n").unwrap_err().number, 1);
    }
}
