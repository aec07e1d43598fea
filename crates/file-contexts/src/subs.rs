//! Prefix substitutions (`.subs`, `.subs_dist`): "label this directory like that one".

use std::borrow::Cow;

use crate::spec::is_space;

/// The substitutions of one file, the last line first: it wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Substitutions(Vec<(Vec<u8>, Vec<u8>)>);

impl Substitutions {
    /// Lines of `from to`; comments and lines without two fields say nothing, as in libselinux.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut all: Vec<_> = bytes
            .split(|byte| *byte == b'\n')
            .filter_map(parse_line)
            .collect();
        all.reverse();
        Self(all)
    }

    /// `path` with its prefix replaced, when a substitution applies to it.
    pub(crate) fn apply(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().find_map(|(from, to)| replace(path, from, to))
    }
}

/// Both files applied to `path`: the administrator's, then the distribution's on the result.
pub(crate) fn apply_all<'a>(
    subs: &Substitutions,
    subs_dist: &Substitutions,
    path: Cow<'a, [u8]>,
) -> Cow<'a, [u8]> {
    let path = subs.apply(&path).map_or(path, Cow::Owned);
    subs_dist.apply(&path).map_or(path, Cow::Owned)
}

fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut fields = line
        .split(|byte| is_space(*byte))
        .filter(|field| !field.is_empty());
    let from = fields.next().filter(|from| !from.starts_with(b"#"))?;
    Some((from.to_vec(), fields.next()?.to_vec()))
}

/// `path` with `from` replaced by `to`, when `from` is a whole number of its leading components.
fn replace(path: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(from)?;
    let rest = match rest {
        [] => rest,
        // `/` as the target brings its own slash.
        [b'/', tail @ ..] if to == b"/" => tail,
        [b'/', ..] => rest,
        _ => return None,
    };
    Some([to, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(file: &str, path: &str) -> Option<String> {
        let path = Substitutions::parse(file.as_bytes()).apply(path.as_bytes())?;
        Some(String::from_utf8_lossy(&path).into_owned())
    }

    #[test]
    fn whole_components_only() {
        let file = "# c\n/lib64  /usr/lib extra\n/only\n/r /\n";
        for (path, expected) in [
            ("/lib64", Some("/usr/lib")),
            ("/lib64/x", Some("/usr/lib/x")),
            ("/lib640", None),
            ("/only/x", None),
            ("/r", Some("/")),
            ("/r/x", Some("/x")),
        ] {
            assert_eq!(applied(file, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_last_line_wins() {
        assert_eq!(applied("/d /a\n/d /b\n", "/d/x").as_deref(), Some("/b/x"));
        assert_eq!(applied("/d/e /a\n/d /b\n", "/d/e").as_deref(), Some("/b/e"));
    }
}
