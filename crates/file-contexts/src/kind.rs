//! File types: the flag of a specification and the type bits of a mode.

/// The type of a file, as far as a specification can ask for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `--`
    Regular,
    /// `-d`
    Directory,
    /// `-l`
    Symlink,
    /// `-c`
    CharDevice,
    /// `-b`
    BlockDevice,
    /// `-s`
    Socket,
    /// `-p`
    Fifo,
}

/// The type bits of a mode, and the values they take (`inode(7)`).
const TYPE_BITS: u32 = 0o170_000;

impl FileKind {
    /// The kind that the type bits of `mode` name; `None` when they name none (a mode of 0 means
    /// "any type" to a look-up).
    #[must_use]
    pub fn from_mode(mode: u32) -> Option<Self> {
        match mode & TYPE_BITS {
            0o100_000 => Some(Self::Regular),
            0o040_000 => Some(Self::Directory),
            0o120_000 => Some(Self::Symlink),
            0o020_000 => Some(Self::CharDevice),
            0o060_000 => Some(Self::BlockDevice),
            0o140_000 => Some(Self::Socket),
            0o010_000 => Some(Self::Fifo),
            _ => None,
        }
    }

    /// The kind that a specification's type field names.
    pub(crate) fn from_flag(flag: &str) -> Option<Self> {
        match flag {
            "--" => Some(Self::Regular),
            "-d" => Some(Self::Directory),
            "-l" => Some(Self::Symlink),
            "-c" => Some(Self::CharDevice),
            "-b" => Some(Self::BlockDevice),
            "-s" => Some(Self::Socket),
            "-p" => Some(Self::Fifo),
            _ => None,
        }
    }
}

/// Whether a specification for `spec` (any type when `None`) applies to a file of kind `asked`
/// (unknown when `None`, which every specification applies to).
pub(crate) fn applies(spec: Option<FileKind>, asked: Option<FileKind>) -> bool {
    match (spec, asked) {
        (Some(spec), Some(asked)) => spec == asked,
        _ => true,
    }
}
