//! Progress where there is no terminal: few lines, each a summary.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount};
use progress::{TaskKind, Unit};

use super::{Painter, Running, Tasks, warnings};

/// How often a line about a long task is written.
const PERIOD: Duration = Duration::from_secs(10);

/// Shows progress as rare lines.
pub(crate) struct Plain {
    last: Instant,
    settled: bool,
}

impl Plain {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            last: now,
            settled: false,
        }
    }
}

impl Painter for Plain {
    fn begin(&mut self, task: &Running) {
        if let Some(line) = announcement(task) {
            print(&line);
        }
    }

    fn note(&mut self, text: &str) {
        warnings::print(text);
    }

    fn tick(&mut self, tasks: &Tasks) {
        if self.settled || self.last.elapsed() < PERIOD {
            return;
        }
        self.last = Instant::now();
        for task in worth_a_line(tasks) {
            print(&summary(task, task.started.elapsed()));
        }
    }

    fn settle(&mut self) {
        self.settled = true;
    }
}

fn print(line: &str) {
    writeln!(anstream::stderr().lock(), "{line}").unwrap_or_default();
}

/// The sum of a pull says enough about its layers.
fn worth_a_line(tasks: &Tasks) -> impl Iterator<Item = &Running> {
    let pulling = tasks
        .values()
        .any(|task| matches!(task.kind, TaskKind::Pull { .. }));
    tasks
        .values()
        .filter(move |task| !(pulling && matches!(task.kind, TaskKind::FetchLayer { .. })))
}

/// What a pull is going to do; other tasks are not worth a line when they begin.
pub(crate) fn announcement(task: &Running) -> Option<String> {
    let TaskKind::Pull {
        layers, present, ..
    } = task.kind
    else {
        return None;
    };
    let bytes = HumanBytes(task.total.unwrap_or_default());
    let missing = layers.saturating_sub(present);
    Some(format!(
        "{}: {missing} of {layers} layers to fetch ({bytes}), {present} already present",
        task.kind
    ))
}

fn summary(task: &Running, elapsed: Duration) -> String {
    let (done, total) = (task.done(), task.total);
    if done == 0 {
        return format!("{}: since {} s", task.kind, elapsed.as_secs());
    }
    let of = total.map_or_else(String::new, |total| format!(" of {}", amount(task, total)));
    let rate = match task.kind.unit() {
        Unit::Bytes => format!(", {}/s", HumanBytes(per_second(done, elapsed))),
        Unit::Items => String::new(),
    };
    format!("{}: {}{of}{rate}", task.kind, amount(task, done))
}

fn amount(task: &Running, number: u64) -> String {
    match task.kind.unit() {
        Unit::Bytes => HumanBytes(number).to_string(),
        Unit::Items => HumanCount(number).to_string(),
    }
}

fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    bytes.saturating_mul(1000) / millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_how_far_a_task_is_and_how_fast() {
        let ten = Duration::from_secs(10);
        let pull = TaskKind::Pull {
            image: "oci:/x".into(),
            layers: 3,
            present: 1,
        };
        let task = Running::for_test(pull, Some(50 << 20));
        assert_eq!(
            announcement(&task).unwrap(),
            "pulling oci:/x: 2 of 3 layers to fetch (50.00 MiB), 1 already present"
        );
        assert_eq!(summary(&task, ten), "pulling oci:/x: since 10 s");
        task.advance_for_test(20 << 20);
        assert_eq!(
            summary(&task, ten),
            "pulling oci:/x: 20.00 MiB of 50.00 MiB, 2.00 MiB/s"
        );
        let fsck = Running::for_test(TaskKind::Fsck, None);
        fsck.advance_for_test(12345);
        assert_eq!(summary(&fsck, ten), "checking objects: 12,345");
        assert_eq!(announcement(&fsck), None);
    }
}
