//! Patterns that are plain text, and the plain directories a pattern begins with.

/// Characters that make a pattern more than text.
const META: &[char] = &[
    '.', '^', '$', '?', '*', '+', '|', '[', '(', '{', ']', ')', '}',
];

/// Escaped characters, besides [`META`], that libselinux takes as plain text. Any other escape (`\@`,
/// `\d`) makes a pattern of the specification, even where it stands for one character.
const PLAIN_ESCAPES: &[char] = &['-', '_', ','];

/// How many leading directories confine a pattern.
const STEM_DEPTH: usize = 3;

/// The text that `pattern` matches, when it is nothing but text.
pub(crate) fn text(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => out.push(
                rest.next()
                    .filter(|escaped| META.contains(escaped) || PLAIN_ESCAPES.contains(escaped))?,
            ),
            meta if META.contains(&meta) => return None,
            plain => out.push(plain),
        }
    }
    Some(out)
}

/// The directory (`/a/b/c/`, at most three deep) under which alone libselinux tries `pattern`.
///
/// libselinux files a pattern under its leading plain directories and looks there only, so that
/// `/dev/?x` never matches `/devx`, and `/a/x|/b/y` only matches below `/a`.
pub(crate) fn stem(pattern: &str) -> Vec<u8> {
    let mut stem = vec![b'/'];
    // The first character is skipped whatever it is, as libselinux does.
    let mut components = pattern
        .get(1..)
        .unwrap_or_default()
        .split('/')
        .collect::<Vec<_>>();
    components.pop();
    components
        .iter()
        .filter(|component| !component.is_empty())
        .map_while(|component| text(component))
        .take(STEM_DEPTH)
        .for_each(|component| {
            stem.extend_from_slice(component.as_bytes());
            stem.push(b'/');
        });
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text() {
        for (pattern, expected) in [
            ("/etc/passwd", Some("/etc/passwd")),
            (r"/lost\+found", Some("/lost+found")),
            (r"/a\.b\-c\_d\,e", Some("/a.b-c_d,e")),
            (r"/a\@b", None),
            (r"/a\", None),
            (r"/a\\b", None),
            ("/a.b", None),
            ("/a]", None),
        ] {
            assert_eq!(text(pattern).as_deref(), expected, "{pattern}");
        }
    }

    #[test]
    fn stems() {
        for (pattern, expected) in [
            ("/.*", "/"),
            ("/usr/.*", "/usr/"),
            ("/usr/lib/a/b/c.*", "/usr/lib/a/"),
            ("/usr/lib(64)?/a.*", "/usr/"),
            (r"/a\.d//x.*", "/a.d/"),
            ("(/p)?/q/.*", "/"),
            ("", "/"),
        ] {
            assert_eq!(stem(pattern), expected.as_bytes(), "{pattern}");
        }
    }
}
