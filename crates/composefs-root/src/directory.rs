//! Reading directories.

use std::os::fd::BorrowedFd;

use durable::IoContext as _;
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// The names in a directory and what they stand for, sorted; none when there is no such directory. Names that are no
/// text are none of ours.
pub(crate) fn names_in(
    base: BorrowedFd<'_>,
    path: &str,
) -> Result<Vec<(String, FileType)>, durable::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::openat(base, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other.during("open directory", path)?,
    };
    let mut names = Vec::new();
    for entry in Dir::new(dir).during("list", path)? {
        let entry = entry.during("list", path)?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push((name.to_owned(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names)
}
