//! A running piece of work.

use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Outcome, Progress, TaskKind};

/// Tells the tasks of one process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    /// An id that no other task of this process has.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The id as a number, for machine-readable output.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A running piece of work; ends as failed when it is dropped without [`Task::done`] or
/// [`Task::skipped`], so an early return by `?` needs no care.
#[must_use = "a task that is dropped at once ends as failed"]
pub struct Task<'a> {
    sink: &'a dyn Progress,
    id: TaskId,
    outcome: Outcome,
}

impl<'a> Task<'a> {
    /// Announces the work. `total` counts in the kind's [`Unit`](crate::Unit); `None` if not known.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers build the kind in the call; sinks only look at it"
    )]
    pub fn begin(sink: &'a dyn Progress, kind: TaskKind, total: Option<u64>) -> Self {
        let id = TaskId::next();
        sink.begin(id, &kind, total);
        Self {
            sink,
            id,
            outcome: Outcome::Failed,
        }
    }

    /// Announces work that turns out not to be needed, in one step.
    pub fn already_done(sink: &'a dyn Progress, kind: TaskKind, total: Option<u64>) {
        Self::begin(sink, kind, total).skipped();
    }

    /// Reports `by` more units; may be called from any thread.
    pub fn advance(&self, by: u64) {
        self.sink.advance(self.id, by);
    }

    /// Ends the task successfully.
    pub fn done(mut self) {
        self.outcome = Outcome::Done;
    }

    /// Ends the task because its result was already there.
    pub fn skipped(mut self) {
        self.outcome = Outcome::Skipped;
    }

    /// A reader that reports every byte that is read through it.
    pub fn reader<R: Read>(&self, inner: R) -> TaskRead<'_, 'a, R> {
        TaskRead { task: self, inner }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.sink.end(self.id, self.outcome);
    }
}

impl fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// See [`Task::reader`].
#[derive(Debug)]
pub struct TaskRead<'t, 'a, R> {
    task: &'t Task<'a>,
    inner: R,
}

impl<R: Read> Read for TaskRead<'_, '_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.task.advance(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Recorder {
        fn push(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }

        fn lines(self) -> Vec<String> {
            self.0.into_inner().unwrap()
        }
    }

    impl Progress for Recorder {
        fn begin(&self, _id: TaskId, task: &TaskKind, total: Option<u64>) {
            self.push(format!("begin {} {total:?}", task.name()));
        }
        fn advance(&self, _id: TaskId, by: u64) {
            self.push(format!("advance {by}"));
        }
        fn end(&self, _id: TaskId, outcome: Outcome) {
            self.push(format!("end {outcome:?}"));
        }
        fn note(&self, text: &str) {
            self.push(format!("note {text}"));
        }
    }

    #[test]
    fn a_finished_task_ends_as_done() {
        let sink = Recorder::default();
        let task = Task::begin(&sink, TaskKind::Merge, Some(2));
        task.advance(2);
        task.done();
        assert_eq!(
            sink.lines(),
            ["begin merge Some(2)", "advance 2", "end Done"]
        );
    }

    #[test]
    fn a_dropped_task_ends_as_failed() {
        let sink = Recorder::default();
        drop(Task::begin(&sink, TaskKind::Fsck, None));
        assert_eq!(sink.lines(), ["begin fsck None", "end Failed"]);
    }

    #[test]
    fn needless_work_ends_as_skipped() {
        let sink = Recorder::default();
        Task::already_done(&sink, TaskKind::Checkout, Some(7));
        assert_eq!(sink.lines(), ["begin checkout Some(7)", "end Skipped"]);
    }

    #[test]
    fn a_reader_reports_what_is_read() {
        let sink = Recorder::default();
        let task = Task::begin(&sink, TaskKind::Push, Some(5));
        let mut text = String::new();
        task.reader(&b"hello"[..])
            .read_to_string(&mut text)
            .unwrap();
        task.done();
        assert_eq!(text, "hello");
        let lines = sink.lines();
        assert_eq!(lines[1], "advance 5");
        assert_eq!(lines.last().unwrap(), "end Done");
    }

    #[test]
    fn ids_differ() {
        assert_ne!(TaskId::next(), TaskId::next());
    }
}
