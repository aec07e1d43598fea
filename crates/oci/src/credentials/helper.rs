//! Programs that keep credentials: `docker-credential-NAME`, by the protocol of docker-credential-helpers.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

use super::Secret;

/// What a helper writes when it has nothing; other words mean that it failed.
const NOT_FOUND: &str = "credentials not found";
/// The user under which helpers hand out identity tokens.
const TOKEN_USER: &str = "<token>";

/// Asks a helper for the credentials of a server; none when it has none. The program is looked for
/// where this process' programs are.
///
/// # Errors
/// [`HelperError`].
pub(crate) fn ask(name: &str, server: &str) -> Result<Option<Secret>, HelperError> {
    let program = format!("docker-credential-{name}");
    if name.is_empty() || name.contains('/') {
        return Err(HelperError::Name(name.to_owned()));
    }
    let output = run(&program, server).map_err(|cause| HelperError::Start {
        program: program.clone(),
        cause,
    })?;
    let said = said(&output);
    if !output.status.success() {
        if said.to_ascii_lowercase().contains(NOT_FOUND) {
            return Ok(None);
        }
        return Err(HelperError::Failed { program, said });
    }
    match serde_json::from_slice::<Answer>(&output.stdout) {
        Ok(answer) => Ok(answer.secret()),
        Err(cause) => Err(HelperError::Answer { program, cause }),
    }
}

fn run(program: &str, server: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not listen says why by its exit code.
        let _unheard = stdin.write_all(server.as_bytes());
    }
    child.wait_with_output()
}

/// Helpers complain on standard output; what is on standard error comes from what they run.
fn said(output: &Output) -> String {
    let text = if output.stdout.is_empty() {
        &output.stderr
    } else {
        &output.stdout
    };
    let text = String::from_utf8_lossy(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Answer {
    fn secret(self) -> Option<Secret> {
        if self.secret.is_empty() {
            return None;
        }
        Some(if self.username == TOKEN_USER {
            Secret::IdentityToken(self.secret)
        } else {
            Secret::Password {
                user: self.username,
                password: self.secret,
            }
        })
    }
}

/// A credential helper did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// Its name cannot be part of a program's name.
    #[error("credential helper {0:?} has no usable name")]
    Name(String),
    /// It cannot be started.
    #[error("cannot start {program}, which the configuration names for credentials: {cause}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        cause: io::Error,
    },
    /// It failed.
    #[error("{program} gives no credentials: {said}")]
    Failed {
        /// The program.
        program: String,
        /// What it said.
        said: String,
    },
    /// Its answer makes no sense.
    #[error("{program} answers what is not understood: {cause}")]
    Answer {
        /// The program.
        program: String,
        /// Why.
        cause: serde_json::Error,
    },
}

impl Classified for HelperError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Name(_) => ErrorClass::InvalidInput,
            Self::Start { cause, .. } => cause.class(),
            Self::Failed { .. } => ErrorClass::Unauthenticated,
            Self::Answer { .. } => ErrorClass::Unsupported,
        }
    }
}
