//! Checking a stream against its size and digest while it is used.

use std::io::{self, Read};

use error_class::{Classified, ErrorClass};

use super::{Digest, Hasher};

/// Checks bytes that pass by against an expected size and digest.
///
/// For readers use [`DigestReader`]; this is for code that has the bytes in its hands anyway.
#[derive(Debug, Clone)]
pub struct Verifier {
    expected: Digest,
    size: u64,
    seen: u64,
    hasher: Hasher,
}

impl Verifier {
    /// Expects exactly `size` bytes with this digest.
    #[must_use]
    pub fn new(expected: Digest, size: u64) -> Self {
        let hasher = Hasher::new(expected.algorithm());
        Self {
            expected,
            size,
            seen: 0,
            hasher,
        }
    }

    /// How many bytes have passed so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes more bytes in.
    ///
    /// # Errors
    /// [`VerifyError::TooLong`] as soon as more bytes came than expected.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.seen += bytes.len() as u64;
        if self.seen > self.size {
            return Err(VerifyError::TooLong {
                digest: self.expected.clone(),
                size: self.size,
            });
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Decides, at the end of the content.
    ///
    /// # Errors
    /// [`VerifyError::TooShort`] or [`VerifyError::Mismatch`].
    pub fn finish(self) -> Result<(), VerifyError> {
        if self.seen < self.size {
            return Err(VerifyError::TooShort {
                digest: self.expected,
                size: self.size,
                seen: self.seen,
            });
        }
        let actual = self.hasher.finish();
        if actual != self.expected {
            return Err(VerifyError::Mismatch {
                expected: self.expected,
                actual,
            });
        }
        Ok(())
    }
}

/// A reader that passes bytes through and, at their end, fails unless size and digest were right.
///
/// Whoever does not read to the end learns nothing: use [`DigestReader::drain`] where the consumer
/// of the content may stop early (a tar reader stops at the end marker).
#[derive(Debug)]
pub struct DigestReader<R> {
    inner: R,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Pending(Box<Verifier>),
    Right,
    /// Kept, so that reading on cannot make wrong content look right.
    Wrong(VerifyError),
}

impl<R: Read> DigestReader<R> {
    /// Expects exactly `size` bytes with this digest from the reader.
    pub fn new(inner: R, expected: Digest, size: u64) -> Self {
        let verdict = Verdict::Pending(Box::new(Verifier::new(expected, size)));
        Self { inner, verdict }
    }

    /// Reads what is left, so that the verdict is in.
    ///
    /// # Errors
    /// Of the reader, or the [`VerifyError`] wrapped (see [`VerifyError::cause_of`]).
    pub fn drain(&mut self) -> io::Result<()> {
        let mut buf = vec![0; 64 << 10];
        loop {
            match self.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the next bytes into account; none means the end.
    fn judge(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let Verdict::Pending(verifier) = &mut self.verdict else {
            return Ok(());
        };
        if !bytes.is_empty() {
            return verifier.update(bytes);
        }
        let verdict = std::mem::replace(&mut self.verdict, Verdict::Right);
        match verdict {
            Verdict::Pending(verifier) => verifier.finish(),
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Verdict::Wrong(error) = &self.verdict {
            return Err(error.clone().into());
        }
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.inner.read(buf)?;
        self.judge(&buf[..n])
            .inspect_err(|error| self.verdict = Verdict::Wrong(error.clone()))?;
        Ok(n)
    }
}

/// Content is not what its descriptor promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// More bytes came than expected.
    #[error("{digest} is longer than its {size} bytes")]
    TooLong {
        /// The content.
        digest: Digest,
        /// Its expected size in bytes.
        size: u64,
    },
    /// The content ended early.
    #[error("{digest} ends after {seen} of {size} bytes")]
    TooShort {
        /// The content.
        digest: Digest,
        /// Its expected size in bytes.
        size: u64,
        /// How many bytes came.
        seen: u64,
    },
    /// The digest differs.
    #[error("content of {expected} is damaged: its digest is {actual}")]
    Mismatch {
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
}

impl VerifyError {
    /// The verdict inside an error that came through a reader.
    #[must_use]
    pub fn cause_of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl Classified for VerifyError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl From<VerifyError> for io::Error {
    fn from(error: VerifyError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], expected: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        DigestReader::new(content, Digest::sha256(expected), size).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn right_content_passes() {
        assert_eq!(read(b"hello", b"hello", 5).unwrap(), b"hello");
        assert_eq!(read(b"", b"", 0).unwrap(), b"");
    }

    #[test]
    fn wrong_content_is_told_apart() {
        let digest = Digest::sha256(b"hello");
        for (content, expected) in [
            (
                &b"hellO"[..],
                VerifyError::Mismatch {
                    expected: digest.clone(),
                    actual: Digest::sha256(b"hellO"),
                },
            ),
            (
                b"hell",
                VerifyError::TooShort {
                    digest: digest.clone(),
                    size: 5,
                    seen: 4,
                },
            ),
            (b"hello!", VerifyError::TooLong { digest, size: 5 }),
        ] {
            let error = read(content, b"hello", 5).unwrap_err();
            assert_eq!(VerifyError::cause_of(&error), Some(&expected));
            assert_eq!(error.class(), ErrorClass::Corrupt);
        }
    }

    #[test]
    fn draining_brings_the_verdict() {
        let mut reader = DigestReader::new(&b"hello"[..], Digest::sha256(b"other"), 5);
        let mut first = [0; 2];
        reader.read_exact(&mut first).unwrap();
        for _ in 0..2 {
            let error = reader.drain().unwrap_err();
            assert!(matches!(
                VerifyError::cause_of(&error),
                Some(VerifyError::Mismatch { .. })
            ));
        }
    }
}
