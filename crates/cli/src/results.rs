//! Standard output: results, and nothing else.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct OutputClosed;

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct OutputFailed(#[source] io::Error);

/// A buffered writer to standard output. Call [`Results::finish`]: dropping it hides errors.
pub(crate) struct Results {
    inner: BufWriter<Marked>,
}

impl Results {
    pub(crate) fn new() -> Self {
        Self {
            inner: BufWriter::with_capacity(64 * 1024, Marked(io::stdout())),
        }
    }

    /// Writes `answer` as indented JSON, and a newline.
    pub(crate) fn json(mut self, answer: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.inner, answer).map_err(io::Error::from)?;
        self.inner.write_all(b"\n")?;
        self.finish()
    }

    /// Writes `answer` as YAML.
    pub(crate) fn yaml(mut self, answer: &impl Serialize) -> io::Result<()> {
        let text = crate::render::yaml::to_yaml(answer)?;
        self.inner.write_all(text.as_bytes())?;
        self.finish()
    }

    /// Writes `bytes`, and nothing after them.
    pub(crate) fn all(mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.finish()
    }

    /// Hands over what is buffered.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Standard output whose errors can be told from those of files and sockets.
struct Marked(Stdout);

impl Write for Marked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark)
    }
}

fn mark(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted => error,
        io::ErrorKind::BrokenPipe => io::Error::other(OutputClosed),
        kind => io::Error::new(kind, OutputFailed(error)),
    }
}
