//! The error that a verb returns: any classified error, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

use error_class::{Classified, ErrorClass};
use progress::Interrupted;

use super::class::{Face, face_of};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    class: ErrorClass,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

impl<E: Classified + Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            class: error.class(),
            error: Box::new(error),
            hint: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Failure {
    /// The same failure, with a next step that is better than that of its class.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Whether something that was named is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.class == ErrorClass::NotFound
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        self.face().code
    }

    /// The word for the class of the failure.
    pub(crate) fn word(&self) -> &'static str {
        self.face().word
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref().or(self.face().hint)
    }

    /// What led to the failure, from near to far, without what the text before it says already.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut said = self.to_string();
        let mut causes = Vec::new();
        for cause in chain(self.error.as_ref()).skip(1) {
            let text = cause.to_string();
            if !said.contains(&text) {
                said.clone_from(&text);
                causes.push(text);
            }
        }
        causes
    }

    /// Whether an `E` is among the causes.
    pub(crate) fn is_caused_by<E: Error + 'static>(&self) -> bool {
        chain(self.error.as_ref()).any(<dyn Error>::is::<E>)
    }

    /// An interrupt that came up through a reader carries the class of an input/output error.
    fn face(&self) -> Face {
        let interrupted = self.is_caused_by::<Interrupted>();
        face_of(if interrupted {
            ErrorClass::Interrupted
        } else {
            self.class
        })
    }
}

/// An error and everything below it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| below(*error))
}

/// The next cause. An I/O error shows the text of the error it carries, but not the error itself.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let carried = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    carried.map_or_else(|| error.source(), |inner| Some(inner))
}

/// Adds a next step to the failure of a result.
pub(crate) trait Hinted<T> {
    /// The same result, whose failure tells what to do next.
    fn hint(self, hint: &'static str) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Hinted<T> for Result<T, E> {
    fn hint(self, hint: &'static str) -> Result<T, Failure> {
        self.map_err(|error| error.into().with_hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read layer {0}")]
    struct Layer(u8, #[source] io::Error);

    impl Classified for Layer {
        fn class(&self) -> ErrorClass {
            self.1.class()
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot import: {0}")]
    struct Import(#[source] Layer);

    impl Classified for Import {
        fn class(&self) -> ErrorClass {
            self.0.class()
        }
    }

    #[test]
    fn causes_are_told_once() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let text = full.to_string();
        let failure = Failure::from(Import(Layer(3, full)));
        assert_eq!(failure.to_string(), "cannot import: cannot read layer 3");
        assert_eq!(failure.causes(), [text]);
        assert_eq!((failure.exit_code(), failure.word()), (7, "no-space"));
    }

    #[test]
    fn an_error_that_shows_its_source_has_no_causes_left() {
        let wrapped = io::Error::other(io::Error::other("the disk is on fire"));
        assert_eq!(Failure::from(wrapped).causes(), [""; 0]);
    }

    #[test]
    fn an_interrupt_is_recognised_through_readers() {
        let nested = io::Error::other(io::Error::from(Interrupted));
        let failure = Failure::from(Import(Layer(1, nested)));
        assert_eq!((failure.exit_code(), failure.word()), (130, "interrupted"));
    }

    #[test]
    fn a_verb_knows_better_hints_than_the_class() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(
            Failure::from(full())
                .hint()
                .unwrap()
                .contains("free some space")
        );
        let failure = Err::<(), _>(full()).hint("buy a disk").unwrap_err();
        assert_eq!(failure.hint(), Some("buy a disk"));
    }
}
