//! From the regular expressions of libselinux (PCRE2) to those of the two engines used here.
//!
//! Most patterns mean the same to all. This module spells out what does not (`[` and `&&` inside
//! brackets, `{` as text, `\<`, `\h`), and says no to the automaton where no automaton can follow, or
//! where it would silently read something else: `a*+`, look-around, back references, inline flags.
//! Those go to the backtracking engine.
//!
//! libselinux compiles `^pattern$` without a group around the pattern, so an alternation outside any
//! group is anchored on one side only, and `$` also matches before a final newline.
//! Source: pcre2pattern(3), libselinux's `compile_regex`; `tests/fixtures/cases/random` compares.

mod brackets;
mod escapes;
mod groups;

use std::iter::Peekable;
use std::str::Chars;

/// The expression for the automaton that matches a whole path exactly if `^pattern$` does; `None`
/// when only the backtracking engine can tell.
pub(crate) fn whole_match(pattern: &str) -> Option<String> {
    let branches = Translator::new(pattern, Engine::Automaton).branches()?;
    let last = branches.len().saturating_sub(1);
    let anchored = branches.iter().enumerate().map(|(index, branch)| {
        let before = if index == 0 { "" } else { ".*" };
        let after = if index == last { r"\n?" } else { ".*" };
        format!("{before}(?:{branch}){after}")
    });
    Some(anchored.collect::<Vec<_>>().join("|"))
}

/// The same for the backtracking engine, to be searched for anywhere in the path; `None` for what this
/// module does not know (`\Q`, `\o{101}`, `(*VERB)` and their like).
pub(crate) fn backtracking_match(pattern: &str) -> Option<String> {
    let branches = Translator::new(pattern, Engine::Backtracking).branches()?;
    Some(format!(r"(?s)^{}\n?$", branches.join("|")))
}

/// Whom a translation is for.
#[derive(Clone, Copy, PartialEq)]
enum Engine {
    Automaton,
    Backtracking,
}

/// What stands before the current position, as far as a repetition cares.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing that can be repeated.
    Nothing,
    /// Something that can be repeated.
    Atom,
    /// A repetition, which cannot be repeated itself.
    Repetition,
}

/// A translation under way. Its steps return `None` when the engine cannot do what is asked.
struct Translator<'a> {
    engine: Engine,
    rest: Peekable<Chars<'a>>,
    done: Vec<String>,
    branch: String,
    depth: usize,
    before: Before,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str, engine: Engine) -> Self {
        Self {
            engine,
            rest: pattern.chars().peekable(),
            done: Vec::new(),
            branch: String::with_capacity(pattern.len()),
            depth: 0,
            before: Before::Nothing,
        }
    }

    /// The translated alternatives outside any group.
    fn branches(mut self) -> Option<Vec<String>> {
        while let Some(next) = self.rest.next() {
            self.translate(next)?;
        }
        self.done.push(self.branch);
        Some(self.done)
    }

    fn translate(&mut self, next: char) -> Option<()> {
        match next {
            '\\' => self.escape(),
            '[' => self.bracket(),
            '(' => self.open(),
            ')' => self.close(),
            '|' => self.bar(),
            '*' | '+' | '?' => self.repeat(&next.to_string()),
            '{' => self.brace(),
            '$' if self.rest.peek().is_none() && self.depth == 0 => Some(()),
            '^' | '$' => self.emit(&next.to_string(), Before::Nothing),
            '.' => self.emit(".", Before::Atom),
            plain => self.emit(&quoted(plain), Before::Atom),
        }
    }

    fn emit(&mut self, text: &str, before: Before) -> Option<()> {
        self.branch.push_str(text);
        self.before = before;
        Some(())
    }

    fn bar(&mut self) -> Option<()> {
        self.before = Before::Nothing;
        if self.depth == 0 {
            self.done.push(std::mem::take(&mut self.branch));
        } else {
            self.branch.push('|');
        }
        Some(())
    }

    fn repeat(&mut self, sign: &str) -> Option<()> {
        if self.before != Before::Atom {
            return None;
        }
        self.emit(sign, Before::Repetition)?;
        if let Some(greed) = self.rest.next_if(|next| matches!(next, '?' | '+')) {
            if greed == '+' && self.engine == Engine::Automaton {
                return None;
            }
            self.branch.push(greed);
        }
        Some(())
    }

    /// `{` is text unless it begins `{n}`, `{n,}`, `{,m}` or `{n,m}`.
    fn brace(&mut self) -> Option<()> {
        let inside: String = self.rest.clone().take_while(|next| *next != '}').collect();
        let closed = self.rest.clone().any(|next| next == '}');
        let Some(counts) = counts(&inside).filter(|_| closed) else {
            return self.emit(r"\{", Before::Atom);
        };
        for _ in 0..=inside.len() {
            self.rest.next();
        }
        // The backtracking engine reads `{2}+` as a repetition of a repetition.
        if self.engine == Engine::Backtracking && self.rest.peek() == Some(&'+') {
            return None;
        }
        self.repeat(&counts)
    }
}

/// The repetition that the inside of a pair of braces stands for.
fn counts(inside: &str) -> Option<String> {
    let digits = |part: &str| part.chars().all(|next| next.is_ascii_digit());
    let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
    if !digits(low) || !digits(high) || (low.is_empty() && high.is_empty()) {
        return None;
    }
    Some(format!(
        "{{{},{high}}}",
        if low.is_empty() { "0" } else { low }
    ))
}

/// A character that stands for itself.
fn quoted(plain: char) -> String {
    // The parsers read `\<` and `\>` as word boundaries.
    if plain.is_ascii_punctuation() && !matches!(plain, '<' | '>' | '_') {
        format!(r"\{plain}")
    } else {
        plain.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelled_out() {
        for (pattern, expected) in [
            ("a.b*", r"(?:a.b*)\n?"),
            ("/a(b|c)?", r"(?:\/a(b|c)?)\n?"),
            ("a|b|c", r"(?:a).*|.*(?:b).*|.*(?:c)\n?"),
            ("[[a]", r"(?:[\[a])\n?"),
            ("[]a-z]", r"(?:[\]a-z])\n?"),
            ("[^]-]", r"(?:[^\]\-])\n?"),
            ("[a&&b-]", r"(?:[a\&\&b\-])\n?"),
            (r"[\d-x]", r"(?:[0-9\-x])\n?"),
            ("[[:alpha:]_]", r"(?:[[:alpha:]_])\n?"),
            ("x{2,}?y{z}w{,3}{1", r"(?:x{2,}?y\{z\}w{0,3}\{1)\n?"),
            (r"\<\@\x2f", r"(?:<\@\x2f)\n?"),
            ("a$", r"(?:a)\n?"),
            (r"\v[\h]\H", r"(?:[\n-\r\x85][\t \xa0][^\t \xa0])\n?"),
        ] {
            assert_eq!(whole_match(pattern).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn left_to_the_other_engine() {
        for pattern in [
            "a*+", "a**", "(?=a)", "(?i)a", r"(a)\1", r"\b{a", "a)", r"a\", "[a", "[[.a.]]",
        ] {
            assert_eq!(whole_match(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn for_the_other_engine() {
        for (pattern, expected) in [
            (
                r"(?!x)\d[\w-]\S",
                Some(r"(?s)^(?!x)[0-9][0-9A-Za-z_\-][^\t-\r ]\n?$"),
            ),
            (r"(a)\1", Some(r"(?s)^(a)(?:\1)\n?$")),
            ("a*+[a&&b]|c", Some(r"(?s)^a*+[a\&\&b]|c\n?$")),
            (
                "(?<=x)(?<n>b)(?i)c(?#no)",
                Some(r"(?s)^(?<=x)(?<n>b)(?i)c\n?$"),
            ),
            (r"\Qa.b\E", None),
            ("(*UTF8)a", None),
            (r"\12", None),
        ] {
            assert_eq!(
                backtracking_match(pattern).as_deref(),
                expected,
                "{pattern}"
            );
        }
    }
}
