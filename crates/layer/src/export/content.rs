//! Copying the content of objects, checked on the way: a damaged object must not get into an image.

use std::io::{self, Read, Write};

use ostree::FileObject;
use ostree_format::ObjectName;

use super::ExportError;
use super::tar::TarWriter;

/// Copy what the header before announced.
pub(super) fn copy_content<W: Write>(
    tar: &mut TarWriter<W>,
    name: &ObjectName,
    file: FileObject,
    buffer: &mut [u8],
) -> Result<(), ExportError> {
    let FileObject {
        header,
        size,
        content,
    } = file;
    let mut hasher = header.hasher();
    let mut reader = Failing {
        content,
        failed: false,
    };
    let copied = tar.content(size, &mut reader, buffer, |piece| hasher.update(piece));
    copied.map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => ExportError::Copy {
            name: *name,
            source,
        },
        _ if reader.failed => ExportError::Copy {
            name: *name,
            source,
        },
        _ => ExportError::Write(source),
    })?;
    let actual = hasher.finish();
    if actual == name.checksum {
        Ok(())
    } else {
        Err(ExportError::Damaged {
            name: *name,
            actual,
        })
    }
}

/// Remembers that it was reading, not writing, that failed.
struct Failing<R> {
    content: R,
    failed: bool,
}

impl<R: Read> Read for Failing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.content.read(buffer);
        self.failed = result.is_err();
        result
    }
}
