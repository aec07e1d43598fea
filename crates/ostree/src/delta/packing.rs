//! Packing parts on all processors: it takes most of the time of making a delta.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread::{Scope, ScopedJoinHandle};

use static_delta::PartBuilder;

use super::generate::{DeltaMakeError, Packed, unnamed};

/// Packing one part of 32 MB takes nearly 400 MB of memory.
const MAX_THREADS: usize = 4;

/// The parts of a delta that are, or were, packed.
pub(super) struct Packing<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    dir: BorrowedFd<'scope>,
    inline: bool,
    threads: usize,
    running: VecDeque<ScopedJoinHandle<'scope, Result<Packed, DeltaMakeError>>>,
    done: Vec<Packed>,
}

impl<'scope, 'env> Packing<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        dir: BorrowedFd<'scope>,
        inline: bool,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            scope,
            dir,
            inline,
            threads: threads.min(MAX_THREADS),
            running: VecDeque::new(),
            done: Vec::new(),
        }
    }

    /// Pack the next part; waits while enough others are being packed.
    pub(super) fn add(&mut self, part: PartBuilder) -> Result<(), DeltaMakeError> {
        if self.running.len() >= self.threads {
            self.take_first()?;
        }
        let name = unnamed(self.done.len() + self.running.len());
        let (dir, inline) = (self.dir, self.inline);
        self.running.push_back(self.scope.spawn(move || {
            let (header, bytes) = part.finish()?;
            if inline {
                return Ok((header, Some(bytes)));
            }
            durable::publish(dir, Path::new(&name), &bytes, 0o644)?;
            Ok((header, None))
        }));
        Ok(())
    }

    /// All parts, in order.
    pub(super) fn finish(mut self) -> Result<Vec<Packed>, DeltaMakeError> {
        while !self.running.is_empty() {
            self.take_first()?;
        }
        Ok(self.done)
    }

    fn take_first(&mut self) -> Result<(), DeltaMakeError> {
        if let Some(first) = self.running.pop_front() {
            let packed = first
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            self.done.push(packed);
        }
        Ok(())
    }
}
