//! A message that somebody writes in an editor.

use error_class::{Classified, ErrorClass};

use crate::{editor, environment};

/// Lines that begin with this are not part of the message.
const REMARK: char = '#';

/// Subject and body.
pub(super) type Message = (String, String);

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("Terminal is dumb, but EDITOR unset")]
    NoEditor,
    #[error(transparent)]
    Editor(#[from] editor::EditorError),
    #[error("Aborting commit due to empty commit subject.")]
    Empty,
}

impl Classified for MessageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoEditor | Self::Empty => ErrorClass::InvalidInput,
            Self::Editor(error) => error.class(),
        }
    }
}

/// Lets the user write a message, beginning with `start`.
pub(super) fn ask(branch: Option<&str>, start: &Message) -> Result<Message, MessageError> {
    let program = environment::editor().ok_or(MessageError::NoEditor)?;
    let text = editor::edited(&program, "commit", "", &template(branch, start))?;
    message(&text).ok_or(MessageError::Empty)
}

fn template(branch: Option<&str>, (subject, body): &Message) -> String {
    let mut text = String::new();
    for part in [subject, body].into_iter().filter(|part| !part.is_empty()) {
        text += part;
        text += "\n\n";
    }
    text += "\n# The first line is the subject of the commit, the rest its description. Lines that begin\n\
             # with '#' are left out; without a subject nothing is committed.\n";
    if let Some(branch) = branch {
        text += &format!("# Branch: {branch}\n");
    }
    text
}

/// The first line that is not empty, and what follows; `None` when there is none.
fn message(text: &str) -> Option<Message> {
    let lines = text.lines().map(str::trim_end);
    let lines = lines.filter(|line| !line.starts_with(REMARK));
    let mut lines = lines.skip_while(|line| line.is_empty());
    let subject = lines.next()?.to_owned();
    let body: Vec<&str> = lines.skip_while(|line| line.is_empty()).collect();
    Some((subject, body.join("\n").trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_and_blank_lines_are_no_message() {
        let text = "\n# remark\nsubject  \n\n#more\nbody\n\nend\n\n";
        let expected = ("subject".to_owned(), "body\n\nend".to_owned());
        assert_eq!(message(text), Some(expected));
        assert_eq!(message("\n# remark\n"), None);
        let start = ("subject".to_owned(), "body".to_owned());
        assert_eq!(message(&template(Some("main"), &start)), Some(start));
        assert_eq!(message(&template(None, &Message::default())), None);
    }
}
