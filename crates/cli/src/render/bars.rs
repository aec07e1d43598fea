//! Progress on a terminal.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use progress::{Outcome, TaskId, TaskKind, Unit};

use super::{Painter, Running, Tasks, warnings};

/// What is over sooner is not worth a flicker.
const DELAY: Duration = Duration::from_millis(250);

/// Shows progress as bars.
pub(crate) struct Bars {
    started: Instant,
    screen: MultiProgress,
    bars: HashMap<TaskId, ProgressBar>,
    settled: bool,
}

impl Bars {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            bars: HashMap::new(),
            settled: false,
        }
    }

    fn bar_of(&mut self, task: &Running) -> &ProgressBar {
        let screen = &self.screen;
        self.bars.entry(task.id).or_insert_with(|| {
            let bar = ProgressBar::new(task.total.unwrap_or_default())
                .with_style(style(task))
                .with_message(message(task))
                .with_elapsed(task.started.elapsed());
            screen.add(bar)
        })
    }
}

impl Painter for Bars {
    fn end(&mut self, task: &Running, _outcome: Outcome) {
        if let Some(bar) = self.bars.remove(&task.id) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
    }

    fn note(&mut self, text: &str) {
        self.screen.suspend(|| warnings::print(text));
    }

    fn tick(&mut self, tasks: &Tasks) {
        if self.settled || self.started.elapsed() < DELAY {
            return;
        }
        for task in tasks.values() {
            self.bar_of(task).set_position(task.done());
        }
    }

    fn settle(&mut self) {
        self.settled = true;
        self.bars.clear();
        self.screen.clear().unwrap_or_default();
    }

    fn finish(&mut self, _exit_code: u8, _error: Option<&str>) {
        self.settle();
    }
}

fn message(task: &Running) -> String {
    match &task.kind {
        TaskKind::Pull {
            layers, present, ..
        } => format!("{present}/{layers} layers present"),
        kind => kind.to_string(),
    }
}

/// The looks of a task: the sum of a pull has a rate, layers stand below it.
fn style(task: &Running) -> ProgressStyle {
    let template = match (&task.kind, task.total) {
        (TaskKind::Pull { .. }, _) => {
            "{bar:20.cyan} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {wide_msg}"
        }
        (TaskKind::FetchLayer { .. }, Some(_)) => "  {bar:18} {bytes}/{total_bytes} {wide_msg}",
        (_, None) => "{spinner} {elapsed} {wide_msg}",
        (kind, Some(_)) if kind.unit() == Unit::Bytes => {
            "{bar:20} {bytes}/{total_bytes} {wide_msg}"
        }
        _ => "{bar:20} {human_pos}/{human_len} {wide_msg}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_well_formed() {
        // `style` panics on a template that is not, so walk through its arms.
        let layer = TaskKind::FetchLayer {
            digest: "sha256:00".into(),
            index: 0,
            of: 1,
        };
        let pull = TaskKind::Pull {
            image: "i".into(),
            layers: 3,
            present: 1,
        };
        for kind in [layer, pull, TaskKind::Merge, TaskKind::InstallKernel] {
            for total in [None, Some(1)] {
                style(&Running::for_test(kind.clone(), total));
            }
        }
    }
}
