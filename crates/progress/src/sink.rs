//! Where progress events go.

use crate::{TaskId, TaskKind};

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The work was carried out.
    Done,
    /// There was nothing to do: the result was already there.
    Skipped,
    /// The work was given up, because of an error or an interrupt.
    Failed,
}

/// A receiver of progress events.
///
/// Events of different tasks come from different threads and interleave; for one id the order is one
/// `begin`, any number of `advance`, one `end`. An implementation must be cheap and must never block
/// for long: `advance` is called for every buffer that is moved.
pub trait Progress: Send + Sync {
    /// A task started. `total` counts in [`TaskKind::unit`]s; `None` means that it is not known.
    fn begin(&self, id: TaskId, task: &TaskKind, total: Option<u64>);
    /// The task got further `by` units. The sum may miss `total` in either direction.
    fn advance(&self, id: TaskId, by: u64);
    /// The task is over; its id does not come again.
    fn end(&self, id: TaskId, outcome: Outcome);
    /// One line for humans: a warning that is no reason to fail.
    fn note(&self, text: &str);
}

/// The receiver that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _id: TaskId, _task: &TaskKind, _total: Option<u64>) {}
    fn advance(&self, _id: TaskId, _by: u64) {}
    fn end(&self, _id: TaskId, _outcome: Outcome) {}
    fn note(&self, _text: &str) {}
}
