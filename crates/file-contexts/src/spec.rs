//! One line of a file_contexts file: pattern, optional type, context.

use error_class::{Classified, ErrorClass};

use crate::kind::FileKind;
use crate::sources::SourceFile;

/// The context that means "no label".
const NONE: &str = "<<none>>";

/// The longest pattern; libselinux refuses to compile longer ones.
const MAX_PATTERN: usize = 4095;

/// A file_contexts file that cannot be used. Nothing is left behind: parsing has no effects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}: {problem}")]
#[non_exhaustive]
pub struct ParseError {
    /// The file with the line.
    pub file: SourceFile,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A byte that no specification can hold: not ASCII, or NUL.
    #[error("byte {byte:#04x} is not allowed in a specification")]
    Byte {
        /// The offending byte.
        byte: u8,
    },
    /// The line has a pattern but no context.
    #[error("the context is missing after pattern `{pattern}`")]
    MissingContext {
        /// The pattern of the line.
        pattern: String,
    },
    /// The second of three fields is not one of `--`, `-d`, `-l`, `-c`, `-b`, `-s`, `-p`.
    #[error("`{flag}` is not a file type")]
    FileType {
        /// The field.
        flag: String,
    },
    /// The pattern is longer than libselinux accepts (4095 bytes).
    #[error("pattern of {length} bytes is too long")]
    PatternLength {
        /// Length of the pattern in bytes.
        length: usize,
    },
    /// No regular expression engine of this crate accepts the pattern.
    #[error("pattern `{pattern}` is not a regular expression: {reason}")]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// The engine's complaint.
        reason: String,
    },
    /// The patterns up to and including this one need more memory than the stated limit.
    #[error("the patterns are too complex together")]
    TooComplex,
}

impl Classified for ParseError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// A specification as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec<'a> {
    pub(crate) pattern: &'a str,
    pub(crate) kind: Option<FileKind>,
    /// `None` is `<<none>>`.
    pub(crate) context: Option<&'a str>,
    pub(crate) file: SourceFile,
    pub(crate) line: usize,
}

impl Spec<'_> {
    /// The error that `problem` makes of this specification.
    pub(crate) fn error(&self, problem: Problem) -> ParseError {
        ParseError {
            file: self.file,
            line: self.line,
            problem,
        }
    }
}

/// The specifications of one file, in order.
pub(crate) fn parse(
    file: SourceFile,
    bytes: &[u8],
) -> impl Iterator<Item = Result<Spec<'_>, ParseError>> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter_map(move |(index, line)| {
            let line_number = index.saturating_add(1);
            parse_line(file, line_number, line)
                .map_err(|problem| ParseError {
                    file,
                    line: line_number,
                    problem,
                })
                .transpose()
        })
}

/// One line; `None` for a comment or an empty line. Fields after the context are ignored, as
/// libselinux does.
fn parse_line(file: SourceFile, line: usize, bytes: &[u8]) -> Result<Option<Spec<'_>>, Problem> {
    let mut fields = bytes
        .split(|byte| is_space(*byte))
        .filter(|field| !field.is_empty())
        .take(3)
        .peekable();
    if fields.peek().is_none_or(|first| first.starts_with(b"#")) {
        return Ok(None);
    }
    let mut text = || fields.next().map(ascii).transpose();
    let pattern = text()?.unwrap_or_default();
    if pattern.len() > MAX_PATTERN {
        return Err(Problem::PatternLength {
            length: pattern.len(),
        });
    }
    let (kind, context) = match (text()?, text()?) {
        (Some(flag), Some(context)) => (Some(kind(flag)?), context),
        (Some(context), None) if !context.starts_with('-') => (None, context),
        _ => {
            return Err(Problem::MissingContext {
                pattern: pattern.to_owned(),
            });
        }
    };
    let context = (context != NONE).then_some(context);
    Ok(Some(Spec {
        pattern,
        kind,
        context,
        file,
        line,
    }))
}

fn kind(flag: &str) -> Result<FileKind, Problem> {
    FileKind::from_flag(flag).ok_or_else(|| Problem::FileType {
        flag: flag.to_owned(),
    })
}

fn ascii(field: &[u8]) -> Result<&str, Problem> {
    match field.iter().find(|byte| !byte.is_ascii() || **byte == 0) {
        Some(byte) => Err(Problem::Byte { byte: *byte }),
        None => str::from_utf8(field).map_err(|_| Problem::Byte { byte: 0x80 }),
    }
}

/// The white space of the C locale.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Option<Spec<'_>>, Problem> {
        parse_line(SourceFile::Base, 7, line.as_bytes())
    }

    #[test]
    fn fields() -> Result<(), Problem> {
        let spec = one(" /a\t-d \t u:r:t:s0 ignored")?.ok_or(Problem::TooComplex)?;
        assert_eq!(spec.pattern, "/a");
        assert_eq!(spec.kind, Some(FileKind::Directory));
        assert_eq!(spec.context, Some("u:r:t:s0"));
        assert_eq!(one("/a <<none>>\r")?.map(|spec| spec.context), Some(None));
        Ok(())
    }

    #[test]
    fn nothing_to_say() {
        for line in ["", " \t", "# /a u:r:t:s0", "  #"] {
            assert_eq!(one(line), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn refused_lines() {
        assert_eq!(
            one("/a"),
            Err(Problem::MissingContext {
                pattern: "/a".into()
            })
        );
        assert_eq!(
            one("/a --"),
            Err(Problem::MissingContext {
                pattern: "/a".into()
            })
        );
        assert_eq!(
            one("/a -x u:r:t:s0"),
            Err(Problem::FileType { flag: "-x".into() })
        );
        assert_eq!(one("/\u{e9} u:r:t:s0"), Err(Problem::Byte { byte: 0xc3 }));
        assert_eq!(one("/a\0 u:r:t:s0"), Err(Problem::Byte { byte: 0 }));
        let long = format!("/{} u:r:t:s0", "a".repeat(MAX_PATTERN));
        assert_eq!(
            one(&long),
            Err(Problem::PatternLength {
                length: MAX_PATTERN + 1
            })
        );
    }

    #[test]
    fn errors_name_file_and_line() {
        let error = parse(SourceFile::Local, b"/ok u:r:t:s0\n\n/bad\n").find_map(Result::err);
        let error = error.map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some("file_contexts.local line 3: the context is missing after pattern `/bad`")
        );
    }
}
