//! Texts that the user changes in an editor.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use error_class::{Classified, ErrorClass};

use crate::environment;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditorError {
    #[error("cannot run the editor {editor:?}: {source}")]
    Run { editor: String, source: io::Error },
    #[error("There was a problem with the editor {editor:?}: {status}")]
    Failed { editor: String, status: ExitStatus },
    #[error("cannot hand the text to the editor: {0}")]
    File(#[from] io::Error),
}

impl Classified for EditorError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Failed { .. } => ErrorClass::InvalidInput,
            Self::Run { source, .. } | Self::File(source) => source.class(),
        }
    }
}

/// What the user makes of `text` in `editor`, a piece of a shell's command line. The file has a name that begins with
/// `bootroot-` and `subject`, and ends with `extension`; it is gone afterwards.
pub(crate) fn edited(
    editor: &str,
    subject: &str,
    extension: &str,
    text: &str,
) -> Result<String, EditorError> {
    let name = format!("bootroot-{subject}-{}{extension}", std::process::id());
    let path = environment::temporary_directory().join(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&path)?;
    let written = file.write_all(text.as_bytes()).map_err(EditorError::from);
    let edited = written
        .and_then(|()| run(editor, &path))
        .and_then(|()| Ok(std::fs::read_to_string(&path)?));
    std::fs::remove_file(&path)?;
    edited
}

/// The editor may have options of its own.
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
