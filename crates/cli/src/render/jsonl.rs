//! Progress as JSON lines (`docs/progress.md`, `docs/progress.schema.json`).

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

use progress::{Outcome, TaskId, TaskKind, Unit};
use serde::Serialize;

use super::{Painter, Running, Tasks};

/// The version of the stream; a change that breaks readers gets a new number.
const SCHEMA: &str = "bootroot.progress/1";

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line<'a> {
    Start {
        schema: &'a str,
        version: &'a str,
        command: &'a str,
    },
    Begin {
        id: u64,
        task: &'a str,
        text: String,
        unit: &'a str,
        total: Option<u64>,
        #[serde(flatten)]
        subject: Subject<'a>,
    },
    Advance {
        tasks: Vec<Position>,
    },
    End {
        id: u64,
        outcome: &'a str,
        done: u64,
    },
    Note {
        text: &'a str,
    },
    Finish {
        exit_code: u8,
        error: Option<&'a str>,
    },
}

/// What a task is about, as far as its kind tells.
#[derive(Default, Serialize)]
struct Subject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<usize>,
}

#[derive(Serialize)]
struct Position {
    id: u64,
    done: u64,
}

#[derive(Serialize)]
struct Stamped<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    elapsed_ms: u128,
}

/// Writes progress as JSON lines.
pub(crate) struct JsonLines {
    /// Nothing once the reader is gone: that is no reason to fail.
    stream: Option<File>,
    started: Instant,
    told: HashMap<TaskId, u64>,
}

impl JsonLines {
    pub(crate) fn new(stream: File, command: &str, started: Instant) -> Self {
        let mut lines = Self {
            stream: Some(stream),
            started,
            told: HashMap::new(),
        };
        let version = env!("CARGO_PKG_VERSION");
        lines.write(Line::Start {
            schema: SCHEMA,
            version,
            command,
        });
        lines
    }

    fn write(&mut self, line: Line<'_>) {
        let stamped = Stamped {
            line,
            elapsed_ms: self.started.elapsed().as_millis(),
        };
        let mut text = serde_json::to_string(&stamped).expect("numbers and strings serialise");
        text.push('\n');
        // One write for a line: a reader of a pipe sees it whole.
        if self
            .stream
            .as_mut()
            .is_some_and(|stream| stream.write_all(text.as_bytes()).is_err())
        {
            self.stream = None;
        }
    }

    /// The position of a task when it is news.
    fn news(&mut self, task: &Running) -> Option<Position> {
        let done = task.done();
        let told = self.told.insert(task.id, done).unwrap_or_default();
        (told != done).then(|| Position {
            id: task.id.number(),
            done,
        })
    }
}

impl Painter for JsonLines {
    fn begin(&mut self, task: &Running) {
        self.write(Line::Begin {
            id: task.id.number(),
            task: task.kind.name(),
            text: task.kind.to_string(),
            unit: match task.kind.unit() {
                Unit::Bytes => "bytes",
                Unit::Items => "items",
            },
            total: task.total,
            subject: subject(&task.kind),
        });
    }

    fn end(&mut self, task: &Running, outcome: Outcome) {
        self.told.remove(&task.id);
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "failed",
        };
        self.write(Line::End {
            id: task.id.number(),
            outcome,
            done: task.done(),
        });
    }

    fn note(&mut self, text: &str) {
        self.write(Line::Note { text });
    }

    fn tick(&mut self, tasks: &Tasks) {
        let tasks: Vec<Position> = tasks.values().filter_map(|task| self.news(task)).collect();
        if !tasks.is_empty() {
            self.write(Line::Advance { tasks });
        }
    }

    fn finish(&mut self, exit_code: u8, error: Option<&str>) {
        self.write(Line::Finish { exit_code, error });
    }
}

fn subject(kind: &TaskKind) -> Subject<'_> {
    match kind {
        TaskKind::FetchManifest { image } => Subject {
            image: Some(image),
            ..Subject::default()
        },
        TaskKind::Pull {
            image,
            layers,
            present,
        } => Subject {
            image: Some(image),
            layers: Some(*layers),
            present: Some(*present),
            ..Subject::default()
        },
        TaskKind::FetchLayer { digest, index, of }
        | TaskKind::LayerPresent { digest, index, of } => Subject {
            digest: Some(digest),
            index: Some(*index),
            of: Some(*of),
            ..Subject::default()
        },
        _ => Subject::default(),
    }
}
