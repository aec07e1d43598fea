//! Extended attributes: reading, copying, labels.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use durable::{Error, IoContext as _, setting_attribute};
use file_contexts::{Policy, SELINUX_XATTR, xattr_value};
use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Largest list of names, and largest value: the kernel's `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`.
const MAX: usize = 65_536;

/// All attributes of an open file.
pub(crate) fn of_file(file: BorrowedFd<'_>, path: &Path) -> Result<Vec<(CString, Vec<u8>)>, Error> {
    read(
        path,
        |buffer| rustix::fs::flistxattr(file, buffer),
        |name, buffer| rustix::fs::fgetxattr(file, name, buffer),
    )
}

/// All attributes of something that cannot be opened: a symbolic link.
pub(crate) fn of_link(dir: BorrowedFd<'_>, name: &Path) -> Result<Vec<(CString, Vec<u8>)>, Error> {
    let place = through_proc(dir, name);
    read(
        name,
        |buffer| rustix::fs::llistxattr(&place, buffer),
        |attribute, buffer| rustix::fs::lgetxattr(&place, attribute, buffer),
    )
}

fn read(
    path: &Path,
    list: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CString, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Vec<(CString, Vec<u8>)>, Error> {
    let mut names = vec![0; MAX];
    let length = match list(&mut names) {
        Err(Errno::NOTSUP) => 0,
        other => other.during("list attributes of", path)?,
    };
    names.truncate(length);
    let mut found = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let Ok(name) = CString::new(name) else {
            continue;
        };
        let mut value = vec![0; MAX];
        let length = get(&name, &mut value).during("read attributes of", path)?;
        value.truncate(length);
        found.push((name, value));
    }
    Ok(found)
}

/// Give an open file these attributes.
pub(crate) fn set_on_file(
    file: BorrowedFd<'_>,
    path: &Path,
    attributes: &[(CString, Vec<u8>)],
) -> Result<(), Error> {
    for (name, value) in attributes {
        rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
            .during(setting_attribute(name.to_bytes()), path)?;
    }
    Ok(())
}

/// Give a symbolic link these attributes.
pub(crate) fn set_on_link(
    dir: BorrowedFd<'_>,
    name: &Path,
    attributes: &[(CString, Vec<u8>)],
) -> Result<(), Error> {
    let place = through_proc(dir, name);
    for (attribute, value) in attributes {
        rustix::fs::lsetxattr(&place, attribute, value, XattrFlags::empty())
            .during(setting_attribute(attribute.to_bytes()), name)?;
    }
    Ok(())
}

/// The path of `name` below `dir` for calls that take no descriptor.
fn through_proc(dir: BorrowedFd<'_>, name: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name)
}

/// Give an open file the label that the policy has for `place`, if there is a policy and it has one.
/// A file system without labels is fine: then there are none to be checked either.
pub(crate) fn label_file(
    file: impl AsFd,
    policy: Option<&Policy>,
    place: &str,
    mode: u32,
) -> Result<(), Error> {
    let Some(label) = policy.and_then(|policy| policy.label(place.as_bytes(), mode)) else {
        return Ok(());
    };
    match rustix::fs::fsetxattr(
        file,
        SELINUX_XATTR,
        &xattr_value(label),
        XattrFlags::empty(),
    ) {
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error).during(setting_attribute(SELINUX_XATTR), place),
    }
}

/// As [`label_file`] for a symbolic link.
pub(crate) fn label_link(
    dir: BorrowedFd<'_>,
    name: &Path,
    policy: Option<&Policy>,
    place: &[u8],
    mode: u32,
) -> Result<(), Error> {
    let Some(label) = policy.and_then(|policy| policy.label(place, mode)) else {
        return Ok(());
    };
    let path = through_proc(dir, name);
    match rustix::fs::lsetxattr(
        path,
        SELINUX_XATTR,
        &xattr_value(label),
        XattrFlags::empty(),
    ) {
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error).during(setting_attribute(SELINUX_XATTR), name),
    }
}
