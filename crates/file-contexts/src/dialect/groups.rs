//! Groups, after their opening parenthesis.

use super::{Before, Engine, Translator};

impl Translator<'_> {
    pub(super) fn open(&mut self) -> Option<()> {
        if self.rest.peek() == Some(&'*') {
            return None;
        }
        if self.rest.next_if_eq(&'?').is_some() {
            return self.open_special();
        }
        self.begin("(")
    }

    pub(super) fn close(&mut self) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.emit(")", Before::Atom)
    }

    fn begin(&mut self, text: &str) -> Option<()> {
        self.depth = self.depth.saturating_add(1);
        self.emit(text, Before::Nothing)
    }

    /// After `(?`: what kind of group it is. Only `(?:` is known to the automaton.
    fn open_special(&mut self) -> Option<()> {
        match self.rest.next()? {
            ':' => self.begin("(?:"),
            _ if self.engine == Engine::Automaton => None,
            '#' => self.comment(),
            sign @ ('=' | '!' | '>') => self.begin(&format!("(?{sign}")),
            '<' => self.after_angle(),
            flag @ ('i' | 's' | 'm') => self.flags(flag),
            _ => None,
        }
    }

    /// `(?<=`, `(?<!` or `(?<name>`.
    fn after_angle(&mut self) -> Option<()> {
        let mut text = String::from("(?<");
        if let Some(sign) = self.rest.next_if(|next| matches!(next, '=' | '!')) {
            text.push(sign);
            return self.begin(&text);
        }
        let in_name = |next: &char| next.is_ascii_alphanumeric() || *next == '_';
        while let Some(letter) = self.rest.next_if(in_name) {
            text.push(letter);
        }
        text.push(self.rest.next_if_eq(&'>')?);
        self.begin(&text)
    }

    /// `(?i)` or `(?i:`.
    fn flags(&mut self, first: char) -> Option<()> {
        let mut text = format!("(?{first}");
        while let Some(flag) = self
            .rest
            .next_if(|next| matches!(next, 'i' | 's' | 'm' | '-'))
        {
            text.push(flag);
        }
        match self.rest.next()? {
            ':' => self.begin(&format!("{text}:")),
            ')' => self.emit(&format!("{text})"), Before::Nothing),
            _ => None,
        }
    }

    /// `(?#...)` says nothing; a repetition after it is for what stands before it.
    fn comment(&mut self) -> Option<()> {
        self.rest.by_ref().find(|next| *next == ')').map(|_| ())
    }
}
