//! Which of the directories `objects/xx` there are.

use durable::IoContext as _;
use ostree_format::Checksum;
use rustix::fs::Dir;

use crate::Repo;

/// The directories that a repository had when it was looked at. In one that is new there are none, and nothing has to be
/// looked for in them.
#[derive(Debug)]
pub(crate) struct Heads([bool; 256]);

impl Heads {
    pub(crate) fn of(repo: &Repo) -> Result<Self, durable::Error> {
        let mut there = [false; 256];
        for entry in Dir::read_from(repo.objects()).during("list", "objects")? {
            let entry = entry.during("list", "objects")?;
            let name = entry.file_name().to_str().ok();
            let head = name.and_then(|name| u8::from_str_radix(name, 16).ok());
            if let Some(head) = head {
                there[usize::from(head)] = true;
            }
        }
        Ok(Self(there))
    }

    /// Whether there may be an object of this name. Where not, somebody else may have stored it since.
    pub(crate) fn may_have(&self, checksum: &Checksum) -> bool {
        let [head, ..] = checksum.as_bytes();
        self.0[usize::from(*head)]
    }
}
