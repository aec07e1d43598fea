//! Bracket expressions, after their `[`.

use super::{Before, Translator, quoted};

impl Translator<'_> {
    pub(super) fn bracket(&mut self) -> Option<()> {
        self.branch.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.branch.push('^');
        }
        // A closing bracket that comes first is a member.
        let mut first = true;
        while first || self.rest.next_if_eq(&']').is_none() {
            first = false;
            self.item()?;
        }
        self.emit("]", Before::Atom)
    }

    /// One member, or a range of them.
    fn item(&mut self) -> Option<()> {
        let (low, low_single) = self.member()?;
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
        let (high, high_single) = self.member()?;
        self.branch.push_str(if high_single { "-" } else { r"\-" });
        self.branch.push_str(&high);
        Some(())
    }

    /// One member, and whether it is a single character (and not a class of them).
    fn member(&mut self) -> Option<(String, bool)> {
        match self.rest.next()? {
            '[' if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                Some((self.posix_class()?, false))
            }
            '\\' => self.bracket_escape(),
            plain => Some((quoted(plain), true)),
        }
    }

    /// `[:alpha:]`, after its `[`; nothing else that begins like one is known here.
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
