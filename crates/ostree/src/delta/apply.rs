//! Carrying out the operations of a part.

use ostree_format::{Checksum, Commit, DirMeta, DirTree, ObjectKind, ObjectName};
use progress::Interrupt;
use static_delta::{DeltaName, Operation, Part, PartHeader, Superblock, bspatch};

use super::DeltaApplyError;
use super::source::Source;
use crate::{ContentWriter, Repo, Transaction, WriteError};

/// How much is copied at once.
const PIECE: usize = 256 * 1024;

impl Repo {
    /// Whether the delta is the one that was asked for and can be applied here.
    ///
    /// # Errors
    /// [`DeltaApplyError`] when it is another one, needs others, or the commit that it starts from is missing.
    pub fn check_delta(&self, delta: &Superblock, name: &DeltaName) -> Result<(), DeltaApplyError> {
        let (wanted, found) = (*name, delta.name);
        if wanted != found {
            return Err(DeltaApplyError::OtherDelta { wanted, found });
        }
        if !delta.dependencies.is_empty() {
            return Err(DeltaApplyError::Dependencies(delta.dependencies.len()));
        }
        match found.from {
            Some(from) if !self.has_object(&ObjectName::new(from, ObjectKind::Commit))? => {
                Err(DeltaApplyError::SourceMissing(from))
            }
            _ => Ok(()),
        }
    }

    /// Whether all objects that the part makes are here already.
    ///
    /// # Errors
    /// What the system said.
    pub fn has_delta_objects(&self, part: &PartHeader) -> Result<bool, durable::Error> {
        for object in &part.objects {
            if !self.has_object(object)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Transaction<'_> {
    /// Write the commit that stands in the superblock, and its detached metadata.
    ///
    /// # Errors
    /// [`DeltaApplyError::OtherCommit`] when it is not the one the delta leads to; the transaction cannot be
    /// committed after any error.
    pub fn write_delta_commit(&self, delta: &Superblock) -> Result<(), DeltaApplyError> {
        let object = ObjectName::new(delta.name.to, ObjectKind::Commit);
        if self.repo().has_object(&object)? {
            return Ok(());
        }
        let found = Checksum::of(&delta.commit);
        if found != delta.name.to {
            self.poison();
            let wanted = delta.name.to;
            return Err(DeltaApplyError::OtherCommit { wanted, found });
        }
        self.write_checked(object, &delta.commit)?;
        if let Some(detached) = delta.detached_metadata() {
            self.write_detached_metadata(object.checksum, &detached)?;
        }
        Ok(())
    }

    /// Make the objects of one part of a delta. Those that it takes pieces of must be in the repository; what
    /// this transaction wrote does not count.
    ///
    /// # Errors
    /// [`DeltaApplyError`]; the transaction cannot be committed then.
    pub fn apply_delta_part(
        &self,
        header: &PartHeader,
        part: &Part,
        interrupt: &Interrupt,
    ) -> Result<(), DeltaApplyError> {
        let mut machine = Machine {
            txn: self,
            source: None,
            open: None,
        };
        for operation in part.operations(&header.objects) {
            let step = interrupt
                .check()
                .map_err(|stop| WriteError::from(stop).into())
                .and_then(|()| machine.step(operation?));
            step.inspect_err(|_| self.poison())?;
        }
        Ok(())
    }

    /// Write a metadata object after a look at its checksum and its form.
    fn write_checked(&self, wanted: ObjectName, bytes: &[u8]) -> Result<(), DeltaApplyError> {
        let found = Checksum::of(bytes);
        if found != wanted.checksum {
            return Err(DeltaApplyError::OtherObject { wanted, found });
        }
        match wanted.kind {
            ObjectKind::DirTree => DirTree::from_bytes(bytes).map(drop),
            ObjectKind::DirMeta => DirMeta::from_bytes(bytes).map(drop),
            _ => Commit::from_bytes(bytes).map(drop),
        }
        .map_err(|source| DeltaApplyError::DamagedObject {
            name: wanted,
            source,
        })?;
        self.write_metadata(wanted.kind, bytes)?;
        Ok(())
    }
}

/// What the operations work on.
struct Machine<'t> {
    txn: &'t Transaction<'t>,
    source: Option<Source>,
    open: Option<Open<'t>>,
}

/// The file that is being written.
struct Open<'t> {
    object: Checksum,
    size: u64,
    /// `None` when the repository has the object, so nothing has to be done.
    writer: Option<ContentWriter<'t>>,
}

impl Machine<'_> {
    fn step(&mut self, operation: Operation<'_>) -> Result<(), DeltaApplyError> {
        match operation {
            Operation::Metadata { object, bytes } => self.txn.write_checked(object, bytes)?,
            Operation::File {
                object,
                header,
                content,
            } => {
                let found = header.checksum(content);
                check(object, found)?;
                self.txn.write_named_file(found, &header, content)?;
            }
            Operation::Open {
                object,
                header,
                size,
            } => {
                let stored = self
                    .txn
                    .has_file(&ObjectName::new(object, ObjectKind::File))?;
                let writer = if stored {
                    None
                } else {
                    Some(self.txn.content_writer(header, size)?)
                };
                self.open = Some(Open {
                    object,
                    size,
                    writer,
                });
            }
            Operation::Write(bytes) => {
                if let Some(writer) = self.open.as_mut().and_then(|open| open.writer.as_mut()) {
                    writer.write_piece(bytes)?;
                }
            }
            Operation::Copy { offset, length } => self.copy(offset, length)?,
            Operation::Patch(patch) => self.patch(patch)?,
            Operation::SetSource(checksum) => {
                self.source = Some(Source::open(self.txn.repo(), checksum)?);
            }
            Operation::UnsetSource => self.source = None,
            Operation::Close => self.close()?,
        }
        Ok(())
    }

    fn copy(&mut self, offset: u64, length: u64) -> Result<(), DeltaApplyError> {
        let (Some(source), Some(open)) = (&self.source, &mut self.open) else {
            return Ok(());
        };
        let Some(writer) = &mut open.writer else {
            return Ok(());
        };
        let mut buffer = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
        let (mut at, mut left) = (offset, length);
        while left > 0 {
            let count = buffer.len().min(usize::try_from(left).unwrap_or(PIECE));
            let piece = buffer.get_mut(..count).unwrap_or_default();
            source.read(at, piece)?;
            writer.write_piece(piece)?;
            at = at.saturating_add(count as u64);
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn patch(&mut self, patch: &[u8]) -> Result<(), DeltaApplyError> {
        let (Some(source), Some(open)) = (&self.source, &mut self.open) else {
            return Ok(());
        };
        let Some(writer) = &mut open.writer else {
            return Ok(());
        };
        for block in bspatch::blocks(patch, open.size) {
            let block = block.map_err(|_| DeltaApplyError::Patch(open.object))?;
            let mut at = block.offset;
            for piece in block.sum.chunks(PIECE) {
                let mut sum = piece.to_vec();
                source.add_to(at, &mut sum)?;
                writer.write_piece(&sum)?;
                at = at.saturating_add_unsigned(piece.len() as u64);
            }
            writer.write_piece(block.new)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), DeltaApplyError> {
        self.source = None;
        if let Some(Open {
            object,
            writer: Some(writer),
            ..
        }) = self.open.take()
        {
            check(object, writer.finish()?)?;
        }
        Ok(())
    }
}

fn check(wanted: Checksum, found: Checksum) -> Result<(), DeltaApplyError> {
    if wanted == found {
        return Ok(());
    }
    let wanted = ObjectName::new(wanted, ObjectKind::File);
    Err(DeltaApplyError::OtherObject { wanted, found })
}
