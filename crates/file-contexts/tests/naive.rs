//! Look-ups against a linear reference: plain specifications first, then the last match wins.
//!
//! The reference shares nothing with the crate: patterns are generated together with a matcher of
//! their own, and a policy is only a list to it.

use file_contexts::{FileContextSources, Policy};
use proptest::collection::vec;
use proptest::prelude::*;

/// A piece of a pattern that stands for part of a path.
#[derive(Debug, Clone)]
enum Piece {
    Text(char),
    /// `[^/]`
    InName,
    /// `.`
    Any,
    /// A repeated piece: `*`, `+` or `?`.
    Repeat(Box<Piece>, char),
    /// `(a|bc)`
    Either(Vec<Piece>, Vec<Piece>),
}

impl Piece {
    fn is_plain(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Text('.') => out.push_str(r"\."),
            Self::Text(text) => out.push(*text),
            Self::InName => out.push_str("[^/]"),
            Self::Any => out.push('.'),
            Self::Repeat(inner, sign) => {
                inner.write(out);
                out.push(*sign);
            }
            Self::Either(one, two) => {
                out.push('(');
                one.iter().for_each(|piece| piece.write(out));
                out.push('|');
                two.iter().for_each(|piece| piece.write(out));
                out.push(')');
            }
        }
    }

    /// All positions after `at` where this piece can end.
    fn ends(&self, path: &[u8], at: usize) -> Vec<usize> {
        let one = |matches: bool| if matches { vec![at + 1] } else { vec![] };
        match self {
            Self::Text(text) => one(path.get(at) == Some(&(*text as u8))),
            Self::InName => one(path.get(at).is_some_and(|byte| *byte != b'/')),
            Self::Any => one(at < path.len()),
            Self::Repeat(inner, sign) => repeat(inner, *sign, path, at),
            Self::Either(left, right) => {
                let mut ends = sequence(left, path, at);
                ends.extend(sequence(right, path, at));
                ends
            }
        }
    }
}

fn repeat(inner: &Piece, sign: char, path: &[u8], at: usize) -> Vec<usize> {
    let mut reached = if sign == '+' { vec![] } else { vec![at] };
    let mut frontier = vec![at];
    while let Some(from) = frontier.pop() {
        for end in inner.ends(path, from) {
            if !reached.contains(&end) {
                reached.push(end);
                if sign != '?' {
                    frontier.push(end);
                }
            }
        }
    }
    reached
}

fn sequence(pieces: &[Piece], path: &[u8], at: usize) -> Vec<usize> {
    pieces.iter().fold(vec![at], |ends, piece| {
        let mut next: Vec<_> = ends
            .into_iter()
            .flat_map(|end| piece.ends(path, end))
            .collect();
        next.sort_unstable();
        next.dedup();
        next
    })
}

/// A specification: a first piece that is a slash, then anything.
#[derive(Debug, Clone)]
struct Spec {
    pieces: Vec<Piece>,
    flag: Option<(&'static str, u32)>,
}

impl Spec {
    fn is_plain(&self) -> bool {
        self.pieces.iter().all(Piece::is_plain)
    }

    fn matches(&self, path: &[u8], mode: u32) -> bool {
        let kind = self
            .flag
            .is_none_or(|(_, flag_mode)| mode == 0 || mode == flag_mode);
        kind && sequence(&self.pieces, path, 1).contains(&path.len())
    }

    fn line(&self, index: usize) -> String {
        let mut pattern = String::from("/");
        self.pieces
            .iter()
            .for_each(|piece| piece.write(&mut pattern));
        let flag = self.flag.map_or("", |(flag, _)| flag);
        let context = if index % 7 == 6 {
            "<<none>>".into()
        } else {
            format!("u:r:t{index}:s0")
        };
        format!("{pattern}\t{flag}\t{context}\n")
    }
}

/// The index of the specification that labels `path`.
fn naive(specs: &[Spec], path: &[u8], mode: u32) -> Option<usize> {
    let last = |plain: bool| {
        specs
            .iter()
            .rposition(|spec| spec.is_plain() == plain && spec.matches(path, mode))
    };
    last(true).or_else(|| last(false))
}

fn piece() -> impl Strategy<Value = Piece> {
    let text = prop_oneof![Just('a'), Just('b'), Just('.'), Just('-')].prop_map(Piece::Text);
    let leaf = prop_oneof![4 => text, 1 => Just(Piece::InName), 1 => Just(Piece::Any)];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let sign = prop_oneof![Just('*'), Just('+'), Just('?')];
        // Only single characters and groups are repeated: `a*+` is possessive.
        let repeated = inner
            .clone()
            .prop_filter("single", |piece| !matches!(piece, Piece::Repeat(..)));
        prop_oneof![
            (repeated, sign).prop_map(|(piece, sign)| Piece::Repeat(Box::new(piece), sign)),
            (vec(inner.clone(), 1..3), vec(inner, 1..3))
                .prop_map(|(one, two)| Piece::Either(one, two)),
        ]
    })
}

/// Slashes stand unrepeated between components, so that no stem rule applies (see `literal.rs`).
fn spec() -> impl Strategy<Value = Spec> {
    let flag = prop_oneof![
        3 => Just(None),
        1 => Just(Some(("--", 0o100_000))),
        1 => Just(Some(("-d", 0o040_000))),
    ];
    (vec(vec(piece(), 1..4), 1..4), flag).prop_map(|(components, flag)| {
        let pieces = components.join(&Piece::Text('/'));
        Spec { pieces, flag }
    })
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    vec("[ab.-]{1,3}|[ab]\u{1}", 1..4)
        .prop_map(|names| format!("/{}", names.join("/")).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn same_as_a_linear_scan(
        specs in vec(spec(), 0..12),
        paths in vec(path(), 1..20),
        mode in prop_oneof![Just(0u32), Just(0o100_000), Just(0o040_000), Just(0o120_000)],
    ) {
        let text: String = specs.iter().enumerate().map(|(index, spec)| spec.line(index)).collect();
        let policy = Policy::parse(FileContextSources {
            file_contexts: text.as_bytes(),
            ..FileContextSources::default()
        })?;
        for path in paths {
            let expected = naive(&specs, &path, mode)
                .filter(|index| index % 7 != 6)
                .map(|index| format!("u:r:t{index}:s0"));
            prop_assert_eq!(policy.label(&path, mode), expected.as_deref(), "{}\n{:?}", text, path);
        }
    }
}
