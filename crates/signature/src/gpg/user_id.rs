//! User IDs into name and mail address, as GPGME splits them.

/// The parts of a user ID; what is not there is empty text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct UserParts {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) email: String,
}

/// Split `Name (Comment) <mail>`. Of each part the first counts; a user ID that is nothing but a
/// mail address has no name.
pub(super) fn split(text: &str) -> UserParts {
    let mut parts = UserParts::default();
    let mut rest = text;
    while let Some(start) = rest.find(|c| !matches!(c, ' ' | '\t')) {
        rest = &rest[start..];
        rest = match rest.as_bytes()[0] {
            b'<' => bracketed(rest, b'<', b'>', &mut parts.email),
            b'(' => bracketed(rest, b'(', b')', &mut parts.comment),
            _ => {
                let end = rest.find(['<', '(']).unwrap_or(rest.len());
                fill(&mut parts.name, &rest[..end]);
                &rest[end..]
            }
        };
    }
    match mailbox(text) {
        Some(address) if parts.email.is_empty() && parts.name == address => UserParts {
            name: String::new(),
            email: address,
            ..parts
        },
        _ => parts,
    }
}

/// Take the bracketed part that `text` begins with (brackets may nest); what follows it.
fn bracketed<'t>(text: &'t str, open: u8, close: u8, into: &mut String) -> &'t str {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        depth = match byte {
            b if b == open => depth + 1,
            b if b == close => depth - 1,
            _ => depth,
        };
        if depth == 0 {
            fill(into, &text[1..at]);
            return &text[at + 1..];
        }
    }
    ""
}

fn fill(part: &mut String, text: &str) {
    if part.is_empty() {
        text.trim_end_matches([' ', '\t']).clone_into(part);
    }
}

/// The mail address in a user ID, in lower case: what stands in angle brackets, or the whole.
pub(super) fn mailbox(text: &str) -> Option<String> {
    let address = match text.split_once('<') {
        Some((_, rest)) => {
            let (address, _) = rest.split_once('>')?;
            let odd = |c: char| c.is_ascii_control() || c == ' ';
            let domain = address.split_once('@')?.1;
            (!address.contains(odd) && !domain.contains("..")).then_some(address)?
        }
        None => (text.bytes().all(is_plain) && !text.contains("..")).then_some(text)?,
    };
    let (local, domain) = address.split_once('@')?;
    let complete = !local.is_empty() && !domain.is_empty();
    (complete && !domain.contains('@') && !domain.ends_with('.'))
        .then(|| address.to_ascii_lowercase())
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x80 || byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-.@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_split_as_gpgme_does() {
        // Text, name, comment, mail; what GPGME 1.18 gives.
        let table = [
            ("A B (c d) <a@b.c>", "A B", "c d", "a@b.c"),
            ("A B", "A B", "", ""),
            ("a@b.c", "", "", "a@b.c"),
            ("A@b.c", "A@b.c", "", ""),
            ("<a@b.c>", "", "", "a@b.c"),
            ("A <one> B <two>", "A", "", "one"),
            ("A (x (y)) <a<b>c>", "A", "x (y)", "a<b>c"),
            ("A <open", "A", "", ""),
            ("", "", "", ""),
        ];
        for (text, name, comment, email) in table {
            let parts = split(text);
            let seen = (
                parts.name.as_str(),
                parts.comment.as_str(),
                parts.email.as_str(),
            );
            assert_eq!(seen, (name, comment, email), "{text:?}");
        }
    }

    #[test]
    fn mailboxes_are_checked() {
        assert_eq!(mailbox("X <A@B.c>").as_deref(), Some("a@b.c"));
        assert_eq!(mailbox("a+b@c").as_deref(), Some("a+b@c"));
        for bad in [
            "a b@c",
            "a@b@c",
            "@c",
            "a@",
            "a@b.",
            "a@b..c",
            "X <a b@c>",
            "none",
            "<>",
        ] {
            assert_eq!(mailbox(bad), None, "{bad:?}");
        }
    }
}
