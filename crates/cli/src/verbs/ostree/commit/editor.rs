//! A message that somebody writes in an editor.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use error_class::{Classified, ErrorClass};

use crate::environment;

/// Lines that begin with this are not part of the message.
const REMARK: char = '#';

/// Subject and body.
pub(super) type Message = (String, String);

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditorError {
    #[error("Terminal is dumb, but EDITOR unset")]
    NoEditor,
    #[error("cannot run the editor {editor:?}: {source}")]
    Run { editor: String, source: io::Error },
    #[error("There was a problem with the editor {editor:?}: {status}")]
    Failed { editor: String, status: ExitStatus },
    #[error("cannot hand the message to the editor: {0}")]
    File(#[from] io::Error),
    #[error("Aborting commit due to empty commit subject.")]
    Empty,
}

impl Classified for EditorError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoEditor | Self::Failed { .. } | Self::Empty => ErrorClass::InvalidInput,
            Self::Run { source, .. } | Self::File(source) => source.class(),
        }
    }
}

/// Lets the user write a message, beginning with `start`.
pub(super) fn ask(branch: Option<&str>, start: &Message) -> Result<Message, EditorError> {
    let editor = environment::editor().ok_or(EditorError::NoEditor)?;
    let name = format!("bootroot-commit-{}", std::process::id());
    let path = environment::temporary_directory().join(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(&path)?
        .write_all(template(branch, start).as_bytes())?;
    let text = run(&editor, &path).and_then(|()| Ok(std::fs::read_to_string(&path)?));
    std::fs::remove_file(&path)?;
    message(&text?).ok_or(EditorError::Empty)
}

/// The editor is a piece of a shell's command line, which may have options.
fn run(editor: &str, file: &Path) -> Result<(), EditorError> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh");
    let status = shell.arg(file).status();
    let status = status.map_err(|source| EditorError::Run {
        editor: editor.to_owned(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(EditorError::Failed {
        editor: editor.to_owned(),
        status,
    })
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
