//! Where progress events of all threads meet, and the one thread that shows them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use progress::{Interrupt, Outcome, Progress, TaskId, TaskKind};

/// How often painters may look at the counters. Five times a second: the documented limit for the
/// stream of JSON lines, and enough for eyes.
const TICK: Duration = Duration::from_millis(200);

/// A task that has begun and not ended.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: TaskId,
    pub(crate) kind: TaskKind,
    pub(crate) total: Option<u64>,
    pub(crate) started: Instant,
    done: Arc<AtomicU64>,
}

impl Running {
    /// How far the task is, in the unit of its kind.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn advance_for_test(&self, by: u64) {
        self.done.fetch_add(by, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn for_test(kind: TaskKind, total: Option<u64>) -> Self {
        Self {
            id: TaskId::next(),
            kind,
            total,
            started: Instant::now(),
            done: Arc::default(),
        }
    }
}

/// The tasks that are running, in the order in which they began.
pub(crate) type Tasks = BTreeMap<TaskId, Running>;

/// Shows progress in one way. Runs on a thread of its own and may take its time.
pub(crate) trait Painter: Send {
    /// A task began.
    fn begin(&mut self, _task: &Running) {}
    /// A task ended.
    fn end(&mut self, _task: &Running, _outcome: Outcome) {}
    /// One line for humans.
    fn note(&mut self, _text: &str) {}
    /// Time has passed.
    fn tick(&mut self, _tasks: &Tasks) {}
    /// A result is about to be printed: leave the screen alone from here on.
    fn settle(&mut self) {}
    /// The command is over, with this exit code and this error.
    fn finish(&mut self, _exit_code: u8, _error: Option<&str>) {}
}

enum Event {
    Begin(Running),
    End(TaskId, Outcome),
    Note(String),
    Settle(Sender<()>),
    Finish(u8, Option<String>),
}

/// Collects progress events and hands them to painters.
///
/// Nothing here waits for a terminal or a pipe: starts and ends are queued without a limit, what
/// lies between is a counter.
pub(crate) struct Board {
    events: Sender<Event>,
    counters: RwLock<HashMap<TaskId, Arc<AtomicU64>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Board {
    /// Starts the thread that paints.
    pub(crate) fn start(painters: Vec<Box<dyn Painter>>, interrupt: Interrupt) -> Self {
        let (events, received) = mpsc::channel();
        let easel = Easel {
            painters,
            tasks: Tasks::new(),
            interrupt,
            told_interrupt: false,
        };
        Self {
            events,
            counters: RwLock::default(),
            thread: Mutex::new(Some(thread::spawn(move || easel.paint(&received)))),
        }
    }

    /// Takes progress off the screen, and waits until it is off.
    pub(crate) fn settle(&self) {
        let (done, wait) = mpsc::channel();
        self.send(Event::Settle(done));
        // An error means that the painting thread has ended: the screen is free as well.
        wait.recv().unwrap_or_default();
    }

    /// Tells how the command ended, and waits until everything is told.
    pub(crate) fn finish(&self, exit_code: u8, error: Option<String>) {
        self.send(Event::Finish(exit_code, error));
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A painter that panicked has said so itself; the result of the command stands.
            thread.join().unwrap_or_default();
        }
    }

    /// Queues an event. After [`Board::finish`] there is nobody to read it.
    fn send(&self, event: Event) {
        self.events.send(event).unwrap_or_default();
    }
}

impl Progress for Board {
    fn begin(&self, id: TaskId, task: &TaskKind, total: Option<u64>) {
        let done = Arc::new(AtomicU64::new(0));
        let mut counters = self
            .counters
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        counters.insert(id, Arc::clone(&done));
        self.send(Event::Begin(Running {
            id,
            kind: task.clone(),
            total,
            started: Instant::now(),
            done,
        }));
    }

    fn advance(&self, id: TaskId, by: u64) {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = counters.get(&id) {
            done.fetch_add(by, Ordering::Relaxed);
        }
    }

    fn end(&self, id: TaskId, outcome: Outcome) {
        self.counters
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        self.send(Event::End(id, outcome));
    }

    fn note(&self, text: &str) {
        self.send(Event::Note(text.to_owned()));
    }
}

/// The painting side of the board.
struct Easel {
    painters: Vec<Box<dyn Painter>>,
    tasks: Tasks,
    interrupt: Interrupt,
    told_interrupt: bool,
}

impl Easel {
    fn paint(mut self, events: &Receiver<Event>) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            match events.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok(Event::Finish(code, error)) => {
                    return self.each(|painter, _| painter.finish(code, error.as_deref()));
                }
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_tick {
                self.tick();
                next_tick = Instant::now() + TICK;
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Begin(task) => {
                self.each(|painter, _| painter.begin(&task));
                self.tasks.insert(task.id, task);
            }
            Event::End(id, outcome) => {
                if let Some(task) = self.tasks.remove(&id) {
                    self.each(|painter, _| painter.end(&task, outcome));
                }
            }
            Event::Note(text) => self.each(|painter, _| painter.note(&text)),
            Event::Settle(done) => {
                self.each(|painter, _| painter.settle());
                done.send(()).unwrap_or_default();
            }
            Event::Finish(..) => unreachable!("ends the loop"),
        }
    }

    fn tick(&mut self) {
        if self.interrupt.is_raised() && !self.told_interrupt {
            self.told_interrupt = true;
            let text = "interrupted: ending cleanly, interrupt again to stop at once";
            self.each(|painter, _| painter.note(text));
        }
        self.each(|painter, tasks| painter.tick(tasks));
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Painter, &Tasks)) {
        for painter in &mut self.painters {
            act(painter.as_mut(), &self.tasks);
        }
    }
}

#[cfg(test)]
mod tests {
    use progress::Task;

    use super::*;

    /// Writes down what it is told.
    struct Scribe(Sender<String>);

    impl Scribe {
        fn tell(&self, text: String) {
            self.0.send(text).unwrap();
        }
    }

    impl Painter for Scribe {
        fn begin(&mut self, task: &Running) {
            self.tell(format!("begin {}", task.kind));
        }
        fn end(&mut self, task: &Running, outcome: Outcome) {
            self.tell(format!("end {} {outcome:?}", task.done()));
        }
        fn note(&mut self, text: &str) {
            self.tell(text.to_owned());
        }
        fn finish(&mut self, exit_code: u8, _error: Option<&str>) {
            self.tell(format!("finish {exit_code}"));
        }
    }

    fn board(interrupt: &Interrupt) -> (Board, Receiver<String>) {
        let (sender, told) = mpsc::channel();
        let board = Board::start(vec![Box::new(Scribe(sender))], interrupt.clone());
        (board, told)
    }

    #[test]
    fn every_start_and_end_is_told_and_threads_add_up() {
        let (board, told) = board(&Interrupt::default());
        let task = Task::begin(&board, TaskKind::Fsck, Some(4000));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| task.advance(1)));
            }
        });
        task.done();
        board.finish(0, None);
        drop(board);
        let told: Vec<String> = told.iter().collect();
        assert_eq!(
            told,
            ["begin checking objects", "end 4000 Done", "finish 0"]
        );
    }

    #[test]
    fn an_interrupt_is_told_once() {
        let interrupt = Interrupt::default();
        let (board, told) = board(&interrupt);
        interrupt.raise();
        thread::sleep(TICK * 4);
        board.finish(130, None);
        drop(board);
        let told: Vec<String> = told.iter().collect();
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("interrupted"));
    }

    #[test]
    fn events_after_the_end_are_ignored() {
        let (board, _told) = board(&Interrupt::default());
        board.finish(0, None);
        board.note("late");
        board.settle();
    }
}
