//! `os-release(5)`: assignments with shell quotes.

/// The value of `key` in the text of an `os-release` file, quotes resolved as the shell does; the last
/// assignment whose quotes are closed counts.
#[must_use]
pub fn get(text: &str, key: &str) -> Option<String> {
    let lines = text.split('\n').filter(|line| !line.starts_with('#'));
    let values = lines.filter_map(|line| line.split_once('=').filter(|(k, _)| *k == key));
    values.filter_map(|(_, value)| unquote(value)).next_back()
}

/// The name of the system for people: `PRETTY_NAME`, else `ID`.
#[must_use]
pub fn pretty_name(text: &str) -> Option<String> {
    get(text, "PRETTY_NAME").or_else(|| get(text, "ID"))
}

/// Resolve shell quotes and backslashes; `None` when a quote is not closed.
#[must_use]
pub fn unquote(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => single_quoted(&mut chars, &mut out)?,
            '"' => double_quoted(&mut chars, &mut out)?,
            '\\' => out.extend(chars.next().filter(|next| *next != '\n')),
            other => out.push(other),
        }
    }
    Some(out)
}

fn single_quoted(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '\'' => return Some(()),
            other => out.push(other),
        }
    }
}

fn double_quoted(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                '\n' => {}
                escaped @ ('"' | '\\' | '`' | '$') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# NAME=no\nNAME=\"Debian GNU/Linux\"\nID=debian\nbroken\nID='other'\nID=\"open\n";

    #[test]
    fn finds_assignments() {
        assert_eq!(get(TEXT, "NAME").as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(get(TEXT, "ID").as_deref(), Some("other"));
        assert_eq!(get(TEXT, "AME"), None);
        assert_eq!(pretty_name(TEXT).as_deref(), Some("other"));
    }
}
