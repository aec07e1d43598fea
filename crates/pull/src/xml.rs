//! As much of XML as a metalink needs: elements, attributes, text. Pure; nothing is fetched or expanded.

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// `<name key="value">`; an element that is closed at once is followed by its [`Piece::Close`].
    Open(&'a str, Vec<(&'a str, String)>),
    /// `</name>`.
    Close(&'a str),
    /// Text, with the five entities resolved.
    Text(String),
}

/// The pieces of a document; `None` when it is not well-formed as far as this reader can tell.
pub(crate) fn pieces(document: &str) -> Option<Vec<Piece<'_>>> {
    let mut rest = document;
    let (mut pieces, mut open) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            pieces.push(Piece::Text(unescaped(&rest[..end])));
            rest = &rest[end..];
            continue;
        };
        if let Some(comment) = after.strip_prefix("!--") {
            rest = &comment[comment.find("-->")? + 3..];
            continue;
        }
        let end = after.find('>')?;
        let (tag, beyond) = (&after[..end], &after[end + 1..]);
        rest = beyond;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let name = name.trim_end();
            if open.pop() != Some(name) {
                return None;
            }
            pieces.push(Piece::Close(name));
            continue;
        }
        let (tag, closed) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (name, attributes) = opened(tag)?;
        pieces.push(Piece::Open(name, attributes));
        if closed {
            pieces.push(Piece::Close(name));
        } else {
            open.push(name);
        }
    }
    open.is_empty().then_some(pieces)
}

fn opened(tag: &str) -> Option<(&str, Vec<(&str, String)>)> {
    let end = tag.find(char::is_whitespace).unwrap_or(tag.len());
    let (name, mut rest) = tag.split_at(end);
    if name.is_empty() {
        return None;
    }
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some((name, attributes));
        }
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, beyond) = after[1..].split_once(quote)?;
        attributes.push((key.trim_end(), unescaped(value)));
        rest = beyond;
    }
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    let text = text.replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text() {
        let document =
            "<?xml version='1.0'?>\n<a x=\"1 &amp; 2\" y = 'z'><!-- <b> --><b/>t&lt;</a>";
        let attributes = vec![("x", "1 & 2".to_owned()), ("y", "z".to_owned())];
        assert_eq!(
            pieces(document).unwrap(),
            [
                Piece::Text("\n".to_owned()),
                Piece::Open("a", attributes),
                Piece::Open("b", Vec::new()),
                Piece::Close("b"),
                Piece::Text("t<".to_owned()),
                Piece::Close("a"),
            ]
        );
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for document in [
            "<a>", "</a>", "<a></b>", "<a", "<a x>", "<a x=1/>", "<a x='>", "<>", "<!-- x",
        ] {
            assert_eq!(pieces(document), None, "{document}");
        }
    }
}
