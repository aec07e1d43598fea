//! Escapes, after their backslash.

use super::{Before, Engine, Translator, quoted};

/// Escaped letters that mean the same to PCRE and both engines.
const SAME_ESCAPES: &str = "Aznrtfa";

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

/// A word boundary or its opposite, in words of the C locale, for the backtracking engine.
fn boundary(letter: char) -> Option<&'static str> {
    match letter {
        'b' => Some("(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))"),
        'B' => Some("(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))"),
        _ => None,
    }
}

impl Translator<'_> {
    /// An escape outside brackets.
    pub(super) fn escape(&mut self) -> Option<()> {
        let escaped = self.rest.next()?;
        if !escaped.is_ascii_alphanumeric() {
            return self.emit(&quoted(escaped), Before::Atom);
        }
        if let Some(members) = class(escaped) {
            let not = if escaped.is_ascii_uppercase() {
                "^"
            } else {
                ""
            };
            return self.emit(&format!("[{not}{members}]"), Before::Atom);
        }
        if matches!(escaped, 'b' | 'B') {
            return self.word_boundary(escaped);
        }
        if escaped.is_ascii_digit() {
            return self.back_reference(escaped);
        }
        let text = self.character_escape(escaped)?;
        self.emit(&text, Before::Atom)
    }

    /// An escape inside brackets, and whether it is a single character.
    pub(super) fn bracket_escape(&mut self) -> Option<(String, bool)> {
        let escaped = self.rest.next()?;
        if !escaped.is_ascii_alphanumeric() {
            return Some((quoted(escaped), true));
        }
        if let Some(members) = class(escaped) {
            let negated = escaped.is_ascii_uppercase();
            return Some((
                if negated {
                    format!("[^{members}]")
                } else {
                    members.to_owned()
                },
                false,
            ));
        }
        if matches!(escaped, 'A' | 'z') {
            return None;
        }
        Some((self.character_escape(escaped)?, true))
    }

    fn word_boundary(&mut self, letter: char) -> Option<()> {
        match self.engine {
            Engine::Automaton if self.rest.peek() == Some(&'{') => None,
            Engine::Automaton => self.emit(&format!(r"\{letter}"), Before::Atom),
            Engine::Backtracking => self.emit(boundary(letter)?, Before::Atom),
        }
    }

    /// `\1` to `\9`; longer numbers could as well be octal.
    fn back_reference(&mut self, digit: char) -> Option<()> {
        let single = self.rest.peek().is_none_or(|next| !next.is_ascii_digit());
        if self.engine == Engine::Automaton || digit == '0' || !single {
            return None;
        }
        self.emit(&format!(r"(?:\{digit})"), Before::Atom)
    }

    /// An escaped letter that names one character (or an end of the path) to all engines.
    fn character_escape(&mut self, letter: char) -> Option<String> {
        match letter {
            'e' => Some(r"\x1b".to_owned()),
            'x' => {
                let high = self.rest.next_if(char::is_ascii_hexdigit)?;
                let low = self.rest.next_if(char::is_ascii_hexdigit)?;
                Some(format!(r"\x{high}{low}"))
            }
            same if SAME_ESCAPES.contains(same) => Some(format!(r"\{same}")),
            _ => None,
        }
    }
}
