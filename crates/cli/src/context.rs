//! What a verb may use of the process around it.

use host::Storage;
use progress::{Interrupt, Progress};

use crate::arguments::Invocation;
use crate::journal::Journal;
use crate::outcome::Failure;
use crate::place::Place;
use crate::render::{self, Board};
use crate::results::Results;

/// What a verb may use of the process around it.
pub(crate) struct Context {
    place: Place,
    board: Board,
    interrupt: Interrupt,
    quiet: bool,
    verbose: bool,
    journal: Journal,
}

impl Context {
    /// # Errors
    /// When the file descriptor for progress is not open.
    pub(crate) fn new(invocation: &Invocation, interrupt: Interrupt) -> Result<Self, Failure> {
        let options = &invocation.options;
        let painters = render::painters(options, &invocation.words)?;
        Ok(Self {
            place: Place::new(options),
            board: Board::start(painters, interrupt.clone()),
            interrupt,
            quiet: options.quiet,
            verbose: options.verbose > 0,
            journal: Journal::of(options),
        })
    }

    /// Which repository or system is meant.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The stores of the place that is meant.
    pub(crate) fn storage(&self) -> Result<Storage, Failure> {
        self.place.open()
    }

    /// Where long work reports to.
    pub(crate) fn progress(&self) -> &dyn Progress {
        &self.board
    }

    /// What stops long work.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Whether the user asked for silence.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether the user asked to see more.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    /// The system's journal.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Standard output, for results. Progress ends here: a bar must not run through an answer.
    pub(crate) fn results(&self) -> Results {
        self.board.settle();
        Results::new()
    }

    /// The end of the command, for whoever reads progress.
    pub(crate) fn board(&self) -> &Board {
        &self.board
    }
}
