//! Progress events and the interrupt flag; renders nothing.
//!
//! Both are parameters, never fields of an engine: every long function ends with
//! `(…, progress: &dyn Progress, interrupt: &Interrupt)`. What an event looks like to a human or in a
//! machine-readable stream is the business of whoever implements [`Progress`].
//!
//! ```
//! use progress::{Interrupt, Progress, Silent, Task, TaskKind};
//!
//! fn work(progress: &dyn Progress, interrupt: &Interrupt) -> Result<(), progress::Interrupted> {
//!     let task = Task::begin(progress, TaskKind::Merge, Some(3));
//!     for _ in 0..3 {
//!         interrupt.check()?; // the task ends as failed when this returns early
//!         task.advance(1);
//!     }
//!     task.done();
//!     Ok(())
//! }
//! work(&Silent, &Interrupt::default()).unwrap();
//! ```

mod interrupt;
mod kind;
mod share;
mod sink;
mod task;

pub use interrupt::{Interrupt, InterruptRead, Interrupted};
pub use kind::{TaskKind, Unit};
pub use share::Share;
pub use sink::{Outcome, Progress, Silent};
pub use task::{Task, TaskId, TaskRead};
