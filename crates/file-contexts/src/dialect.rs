//! From the regular expressions of libselinux (PCRE) to those of the automaton.
//!
//! Most patterns mean the same to both. This module spells out what does not (`[` inside brackets,
//! `{` as text, `\<`), and gives up on what no automaton can do, or what the other engine would
//! silently read differently (`a*+`, look-around, back references): those go to the backtracking
//! engine, which does speak the dialect but for some escapes.
//!
//! libselinux compiles `^pattern$` without a group around the pattern, so an alternation outside any
//! group is anchored on one side only, and `$` also matches before a final newline.
//! Source: PCRE2 documentation, pcre2pattern(3), and libselinux's `compile_regex`.

use std::iter::Peekable;
use std::str::Chars;

/// Letters whose escapes the automaton's parser reads like PCRE.
const SAME_ESCAPES: &str = "dDsSwWbBAznrtfa";

/// Letters and digits whose escapes the backtracking engine reads like PCRE.
const SAME_BACKTRACKING_ESCAPES: &str = "Aznrtfaex0123456789";

/// The members of the class that an escaped lower-case letter names, in the C locale; its upper-case
/// twin names the others.
fn class(letter: char) -> Option<&'static str> {
    match letter.to_ascii_lowercase() {
        'd' => Some("0-9"),
        's' => Some(r"\t-\r "),
        'w' => Some("0-9A-Za-z_"),
        'h' => Some(r"\t \xa0"),
        'v' => Some(r"\n-\r\x85"),
        _ => None,
    }
}

/// The class as it stands outside brackets.
fn bracketed_class(letter: char) -> Option<String> {
    let members = class(letter)?;
    Some(format!(
        "[{}{members}]",
        if letter.is_ascii_uppercase() { "^" } else { "" }
    ))
}

/// The expression that matches a whole path exactly if `^pattern$` does; `None` when only the
/// backtracking engine can tell.
pub(crate) fn whole_match(pattern: &str) -> Option<String> {
    let branches = Translator::new(pattern).branches()?;
    let last = branches.len().saturating_sub(1);
    let anchored = branches.iter().enumerate().map(|(index, branch)| {
        let before = if index == 0 { "" } else { ".*" };
        let after = if index == last { r"\n?" } else { ".*" };
        format!("{before}(?:{branch}){after}")
    });
    Some(anchored.collect::<Vec<_>>().join("|"))
}

/// The same for the backtracking engine.
///
/// # Errors
/// The escaped letter that this engine would read differently.
pub(crate) fn backtracking_match(pattern: &str) -> Result<String, char> {
    let mut out = String::from("(?s)^");
    let mut in_bracket = false;
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => out.push_str(&backtracking_escape(
                rest.next().unwrap_or_default(),
                in_bracket,
            )?),
            other => {
                in_bracket = (in_bracket || other == '[') && other != ']';
                out.push(other);
            }
        }
    }
    out.push_str(r"\n?$");
    Ok(out)
}

fn backtracking_escape(escaped: char, in_bracket: bool) -> Result<String, char> {
    if !escaped.is_ascii_alphanumeric() || SAME_BACKTRACKING_ESCAPES.contains(escaped) {
        return Ok(format!(r"\{escaped}"));
    }
    let spelled_out = if !in_bracket {
        bracketed_class(escaped)
    } else if escaped.is_ascii_lowercase() {
        class(escaped).map(str::to_owned)
    } else {
        None
    };
    spelled_out.ok_or(escaped)
}

/// What stands before the current position, as far as a repetition cares.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing that can be repeated.
    Nothing,
    /// Something that can be repeated.
    Atom,
    /// A repetition, which may be followed by `?` but by no other repetition.
    Repetition,
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    done: Vec<String>,
    branch: String,
    depth: usize,
    before: Before,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
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
            '*' | '+' | '?' => self.repeat(next),
            '{' => self.brace(),
            '$' if self.rest.peek().is_none() && self.depth == 0 => Some(()),
            '^' | '$' => self.emit(next, Before::Nothing),
            '.' => self.emit(next, Before::Atom),
            plain => self.plain(plain),
        }
    }

    fn emit(&mut self, text: char, before: Before) -> Option<()> {
        self.branch.push(text);
        self.before = before;
        Some(())
    }

    fn plain(&mut self, plain: char) -> Option<()> {
        self.branch.push_str(&quoted(plain));
        self.before = Before::Atom;
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        let escaped = self.rest.next()?;
        if !escaped.is_ascii_alphanumeric() {
            return self.plain(escaped);
        }
        let text = self
            .letter_escape(escaped)
            .or_else(|| bracketed_class(escaped))?;
        if matches!(escaped, 'b' | 'B') && self.rest.peek() == Some(&'{') {
            return None;
        }
        self.branch.push_str(&text);
        self.before = Before::Atom;
        Some(())
    }

    /// An escaped letter or digit that both engines read alike.
    fn letter_escape(&mut self, escaped: char) -> Option<String> {
        if SAME_ESCAPES.contains(escaped) {
            return Some(format!(r"\{escaped}"));
        }
        if escaped != 'x' {
            return None;
        }
        let high = self.rest.next_if(char::is_ascii_hexdigit)?;
        let low = self.rest.next_if(char::is_ascii_hexdigit)?;
        Some(format!(r"\x{high}{low}"))
    }

    fn open(&mut self) -> Option<()> {
        self.branch.push('(');
        self.depth = self.depth.saturating_add(1);
        self.before = Before::Nothing;
        if self.rest.next_if_eq(&'?').is_some() {
            self.rest.next_if_eq(&':')?;
            self.branch.push_str("?:");
        }
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.emit(')', Before::Atom)
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

    fn repeat(&mut self, sign: char) -> Option<()> {
        if self.before != Before::Atom {
            return None;
        }
        self.branch.push(sign);
        self.lazy();
        Some(())
    }

    /// After a repetition: `?` makes it lazy, which changes nothing for a whole match.
    fn lazy(&mut self) {
        if self.rest.next_if_eq(&'?').is_some() {
            self.branch.push('?');
        }
        self.before = Before::Repetition;
    }

    /// `{` is text unless it begins `{n}`, `{n,}` or `{n,m}`.
    fn brace(&mut self) -> Option<()> {
        let Some(counts) = counts(self.rest.clone()) else {
            return self.plain('{');
        };
        if self.before != Before::Atom {
            return None;
        }
        self.branch.push('{');
        for _ in counts.chars() {
            self.branch.extend(self.rest.next());
        }
        self.lazy();
        Some(())
    }

    /// A bracket expression, after its `[`.
    fn bracket(&mut self) -> Option<()> {
        self.branch.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.branch.push('^');
        }
        let mut first = true;
        while first || self.rest.next_if_eq(&']').is_none() {
            first = false;
            self.bracket_item()?;
        }
        self.emit(']', Before::Atom)
    }

    /// One member of a bracket expression, or a range of them.
    fn bracket_item(&mut self) -> Option<()> {
        let (low, low_single) = self.bracket_atom()?;
        self.branch.push_str(&low);
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || ahead.peek() == Some(&']') {
            return Some(());
        }
        self.rest.next();
        if !low_single {
            self.branch.push_str(r"\-");
            return Some(());
        }
        let (high, high_single) = self.bracket_atom()?;
        self.branch.push_str(if high_single { "-" } else { r"\-" });
        self.branch.push_str(&high);
        Some(())
    }

    /// One member, and whether it is a single character (and not a class of them).
    fn bracket_atom(&mut self) -> Option<(String, bool)> {
        match self.rest.next()? {
            '[' if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                Some((self.posix_class()?, false))
            }
            '\\' => self.bracket_escape(),
            plain => Some((quoted(plain), true)),
        }
    }

    fn bracket_escape(&mut self) -> Option<(String, bool)> {
        let escaped = self.rest.next()?;
        if !escaped.is_ascii_alphanumeric() {
            return Some((quoted(escaped), true));
        }
        if "bBAz".contains(escaped) {
            return None;
        }
        if matches!(escaped, 'h' | 'v') {
            return Some((class(escaped)?.to_owned(), false));
        }
        Some((self.letter_escape(escaped)?, class(escaped).is_none()))
    }

    /// `[:alpha:]`, after its `[`; anything else that begins like one is left to the other engine.
    fn posix_class(&mut self) -> Option<String> {
        let text: String = self.rest.clone().take_while(|next| *next != ']').collect();
        let name = text.strip_prefix(':')?.strip_suffix(':')?;
        if !name
            .trim_start_matches('^')
            .chars()
            .all(|next| next.is_ascii_lowercase())
        {
            return None;
        }
        for _ in 0..=text.len() {
            self.rest.next();
        }
        Some(format!("[{text}]"))
    }
}

/// `n}`, `n,}` or `n,m}` at the start of `rest`.
fn counts(rest: Peekable<Chars<'_>>) -> Option<String> {
    let text: String = rest.take_while(|next| *next != '}').collect();
    let (low, high) = text.split_once(',').unwrap_or((&text, ""));
    let digits = |part: &str| part.chars().all(|next| next.is_ascii_digit());
    (!low.is_empty() && digits(low) && digits(high)).then(|| format!("{text}}}"))
}

/// A character that stands for itself.
fn quoted(plain: char) -> String {
    // The automaton's parser reads `\<` and `\>` as word boundaries.
    if plain.is_ascii_punctuation() && !matches!(plain, '<' | '>') {
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
            (r"[\d-x]", r"(?:[\d\-x])\n?"),
            ("[[:alpha:]_]", r"(?:[[:alpha:]\_])\n?"),
            ("x{2,}?y{z}", r"(?:x{2,}?y\{z\})\n?"),
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
            "a*+", "a**", "(?=a)", "(?i)a", r"(a)\1", r"[\H]", r"\b{a", "a)", r"a\", "[a",
            "[[.a.]]",
        ] {
            assert_eq!(whole_match(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn escapes_for_the_other_engine() {
        for (pattern, expected) in [
            (
                r"(?!x)\d\.[\w-]\S",
                Ok(r"(?s)^(?!x)[0-9]\.[0-9A-Za-z_-][^\t-\r ]\n?$"),
            ),
            (r"(a)\1", Ok(r"(?s)^(a)\1\n?$")),
            (r"(?!x)[\D]", Err('D')),
            (r"(?!x)\b", Err('b')),
            (r"\Qa.b\E", Err('Q')),
        ] {
            assert_eq!(
                backtracking_match(pattern),
                expected.map(str::to_owned),
                "{pattern}"
            );
        }
    }
}
