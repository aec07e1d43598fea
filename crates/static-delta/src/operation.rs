use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName, limits, mode};

use crate::{DeltaError, Part, varint};

/// One step of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'p> {
    /// Make a metadata object of these bytes.
    Metadata {
        /// The object.
        object: ObjectName,
        /// Its bytes; not checked against its name.
        bytes: &'p [u8],
    },
    /// Make a regular file, or a symbolic link (then `content` is empty).
    File {
        /// The object.
        object: Checksum,
        /// What it says besides its content.
        header: FileHeader,
        /// Its content; not checked against its name.
        content: &'p [u8],
    },
    /// Begin a regular file, to which the following operations append until [`Operation::Close`].
    Open {
        /// The object.
        object: Checksum,
        /// What it says besides its content.
        header: FileHeader,
        /// Bytes that its content will have.
        size: u64,
    },
    /// Append these bytes.
    Write(&'p [u8]),
    /// Append bytes of the source.
    Copy {
        /// Where they begin in the source.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// Append what this patch makes of the source; see [`crate::bspatch`].
    Patch(&'p [u8]),
    /// Take the content of this file as the source.
    SetSource(Checksum),
    /// Have no source.
    UnsetSource,
    /// The file is complete. There is no source any more, either.
    Close,
}

/// How often each operation occurs in a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`Operation::Metadata`] and [`Operation::File`], which are one in the format.
    pub splice: u64,
    /// [`Operation::Open`].
    pub open: u64,
    /// [`Operation::Write`] and [`Operation::Copy`], which are one in the format.
    pub write: u64,
    /// [`Operation::SetSource`].
    pub set_source: u64,
    /// [`Operation::UnsetSource`].
    pub unset_source: u64,
    /// [`Operation::Close`].
    pub close: u64,
    /// [`Operation::Patch`].
    pub patch: u64,
}

impl Counts {
    /// Count the operations of a part.
    ///
    /// # Errors
    /// [`DeltaError::Operation`].
    pub fn of(operations: Operations<'_>) -> Result<Self, DeltaError> {
        let mut counts = Self::default();
        for operation in operations {
            let count = match operation? {
                Operation::Metadata { .. } | Operation::File { .. } => &mut counts.splice,
                Operation::Open { .. } => &mut counts.open,
                Operation::Write(_) | Operation::Copy { .. } => &mut counts.write,
                Operation::Patch(_) => &mut counts.patch,
                Operation::SetSource(_) => &mut counts.set_source,
                Operation::UnsetSource => &mut counts.unset_source,
                Operation::Close => &mut counts.close,
            };
            *count = count.saturating_add(1);
        }
        Ok(counts)
    }
}

/// The operations of a part, one after the other; ends after the first error.
///
/// What comes out is sound by itself: offsets lie in the payload, objects are opened before they are written
/// and closed, a source is set before it is used, and in the end all objects of the part were made.
#[derive(Debug, Clone)]
pub struct Operations<'p> {
    part: &'p Part,
    program: &'p [u8],
    objects: std::slice::Iter<'p, ObjectName>,
    index: u64,
    open: bool,
    source: bool,
    ended: bool,
}

impl<'p> Iterator for Operations<'p> {
    type Item = Result<Operation<'p>, DeltaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = match self.program.split_first() {
            Some((code, rest)) => {
                self.program = rest;
                self.step(*code)
            }
            None => {
                self.ended = true;
                if self.objects.len() == 0 && !self.open {
                    return None;
                }
                Err("the part ends before all its objects are made")
            }
        };
        let index = self.index;
        self.index = self.index.saturating_add(1);
        self.ended |= step.is_err();
        Some(step.map_err(|reason| DeltaError::Operation { index, reason }))
    }
}

impl<'p> Operations<'p> {
    pub(crate) fn new(part: &'p Part, objects: &'p [ObjectName]) -> Self {
        Self {
            part,
            // A part without objects does nothing, whatever it says.
            program: if objects.is_empty() {
                &[]
            } else {
                part.program()
            },
            objects: objects.iter(),
            index: 0,
            open: false,
            source: false,
            ended: false,
        }
    }

    fn step(&mut self, code: u8) -> Result<Operation<'p>, &'static str> {
        match code {
            b'S' => self.splice(),
            b'o' => self.open(),
            b'w' => self.write(),
            b'r' => {
                let offset = self.number()?;
                let bytes = self.payload(offset, Checksum::LEN as u64)?;
                self.source = true;
                let source = Checksum::from_slice(bytes).ok_or("the source has no checksum")?;
                Ok(Operation::SetSource(source))
            }
            b'R' => {
                self.source = false;
                Ok(Operation::UnsetSource)
            }
            b'c' if self.open => {
                (self.open, self.source) = (false, false);
                Ok(Operation::Close)
            }
            b'c' => Err("it closes a file, but none is open"),
            b'B' => self.patch(),
            _ => Err("it is not known"),
        }
    }

    fn splice(&mut self) -> Result<Operation<'p>, &'static str> {
        let object = self.next_object()?;
        self.source = false;
        if object.kind != ObjectKind::File {
            let length = self.number()?;
            let offset = self.number()?;
            let bytes = self.payload(offset, length)?;
            return Ok(Operation::Metadata { object, bytes });
        }
        let (mut header, size) = self.header()?;
        let offset = self.number()?;
        let mut content = self.payload(offset, size)?;
        if header.is_symlink() {
            let target = std::str::from_utf8(content).map_err(|_| "the target is not UTF-8")?;
            if content.len() > limits::MAX_SYMLINK_TARGET || content.contains(&0) {
                return Err("the target is no path");
            }
            header.symlink = Some(target.to_owned());
            content = &[];
        }
        Ok(Operation::File {
            object: object.checksum,
            header,
            content,
        })
    }

    fn open(&mut self) -> Result<Operation<'p>, &'static str> {
        let object = self.next_object()?;
        let (header, size) = self.header()?;
        if object.kind != ObjectKind::File || header.is_symlink() {
            return Err("it opens what is no regular file");
        }
        self.open = true;
        Ok(Operation::Open {
            object: object.checksum,
            header,
            size,
        })
    }

    fn write(&mut self) -> Result<Operation<'p>, &'static str> {
        let length = self.number()?;
        let offset = self.number()?;
        match (self.open, self.source) {
            (false, _) => Err("it writes, but no file is open"),
            (true, true) => Ok(Operation::Copy { offset, length }),
            (true, false) => self.payload(offset, length).map(Operation::Write),
        }
    }

    fn patch(&mut self) -> Result<Operation<'p>, &'static str> {
        let offset = self.number()?;
        let length = self.number()?;
        if !self.open || !self.source {
            return Err("it patches, but there is no source, or no file open");
        }
        self.payload(offset, length).map(Operation::Patch)
    }

    fn next_object(&mut self) -> Result<ObjectName, &'static str> {
        if self.open {
            return Err("it begins an object before the last one is complete");
        }
        let next = self.objects.next().copied();
        next.ok_or("it begins an object that the superblock does not list")
    }

    /// Owner, mode and attributes, and the size that stands behind them.
    fn header(&mut self) -> Result<(FileHeader, u64), &'static str> {
        let (mode_index, xattrs_index) = (self.number()?, self.number()?);
        let (uid, gid, mode) = self.part.mode(mode_index).ok_or("it has no such mode")?;
        let xattrs = self.part.xattrs(xattrs_index);
        if mode & !(mode::S_IFMT | 0o7777) != 0
            || !(mode::is_regular(mode) || mode::is_symlink(mode))
        {
            return Err("the mode is that of neither a file nor a link");
        }
        let header = FileHeader {
            uid,
            gid,
            mode,
            xattrs: xattrs.ok_or("it has no such extended attributes")?.clone(),
            symlink: None,
        };
        Ok((header, self.number()?))
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        varint::read(&mut self.program).ok_or("a number in it is cut off or too large")
    }

    fn payload(&self, offset: u64, length: u64) -> Result<&'p [u8], &'static str> {
        let range = || {
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            self.part.payload().get(start..end)
        };
        range().ok_or("it takes bytes that the payload does not have")
    }
}
