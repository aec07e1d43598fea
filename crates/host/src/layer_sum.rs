//! The progress of a whole pull, as the sum of its layers.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use progress::{Outcome, Progress, Task, TaskId, TaskKind};

/// Passes events on, and adds what layers report to a task of the whole.
pub(crate) struct LayerSum<'a> {
    inner: &'a dyn Progress,
    whole: Task<'a>,
    layers: RwLock<HashSet<TaskId>>,
}

impl<'a> LayerSum<'a> {
    pub(crate) fn new(inner: &'a dyn Progress, whole: TaskKind, total: u64) -> Self {
        Self {
            inner,
            whole: Task::begin(inner, whole, Some(total)),
            layers: RwLock::default(),
        }
    }

    /// Ends the whole successfully; dropping this ends it as failed.
    pub(crate) fn done(self) {
        self.whole.done();
    }
}

impl Progress for LayerSum<'_> {
    fn begin(&self, id: TaskId, task: &TaskKind, total: Option<u64>) {
        if matches!(task, TaskKind::FetchLayer { .. }) {
            self.layers
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id);
        }
        self.inner.begin(id, task, total);
    }

    fn advance(&self, id: TaskId, by: u64) {
        if self
            .layers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&id)
        {
            self.whole.advance(by);
        }
        self.inner.advance(id, by);
    }

    fn end(&self, id: TaskId, outcome: Outcome) {
        self.layers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        self.inner.end(id, outcome);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;

    /// Positions and outcomes by the name of the task.
    #[derive(Default)]
    struct Totals {
        names: Mutex<HashMap<TaskId, &'static str>>,
        sums: Mutex<HashMap<&'static str, u64>>,
        ends: Mutex<Vec<(&'static str, Outcome)>>,
    }

    impl Progress for Totals {
        fn begin(&self, id: TaskId, task: &TaskKind, _total: Option<u64>) {
            self.names.lock().unwrap().insert(id, task.name());
        }
        fn advance(&self, id: TaskId, by: u64) {
            *self
                .sums
                .lock()
                .unwrap()
                .entry(self.names.lock().unwrap()[&id])
                .or_default() += by;
        }
        fn end(&self, id: TaskId, outcome: Outcome) {
            self.ends
                .lock()
                .unwrap()
                .push((self.names.lock().unwrap()[&id], outcome));
        }
        fn note(&self, _text: &str) {}
    }

    fn layer(index: usize) -> TaskKind {
        TaskKind::FetchLayer {
            digest: "sha256:00".into(),
            index,
            of: 2,
        }
    }

    #[test]
    fn the_whole_is_the_sum_of_the_layers_and_of_nothing_else() {
        let totals = Totals::default();
        let whole = TaskKind::Pull {
            image: "i".into(),
            layers: 2,
            present: 0,
        };
        let sum = LayerSum::new(&totals, whole, 30);
        let first = Task::begin(&sum, layer(0), Some(10));
        let second = Task::begin(&sum, layer(1), Some(20));
        first.advance(10);
        second.advance(5);
        second.advance(15);
        first.done();
        second.done();
        let merge = Task::begin(&sum, TaskKind::Merge, Some(2));
        merge.advance(2);
        merge.done();
        sum.done();
        let sums = totals.sums.into_inner().unwrap();
        assert_eq!(
            (sums["pull"], sums["fetch-layer"], sums["merge"]),
            (30, 30, 2)
        );
        assert_eq!(
            totals.ends.into_inner().unwrap().last(),
            Some(&("pull", Outcome::Done))
        );
    }

    #[test]
    fn a_pull_that_is_given_up_has_failed() {
        let totals = Totals::default();
        drop(LayerSum::new(
            &totals,
            TaskKind::Pull {
                image: "i".into(),
                layers: 1,
                present: 0,
            },
            1,
        ));
        assert_eq!(
            totals.ends.into_inner().unwrap(),
            [("pull", Outcome::Failed)]
        );
    }
}
