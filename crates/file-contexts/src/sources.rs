//! The files a policy's labels come from.

use std::fmt;

/// The bytes of the files that make up a policy's file contexts; those that the policy does not have
/// are `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileContextSources<'a> {
    /// `file_contexts`
    pub file_contexts: &'a [u8],
    /// `file_contexts.homedirs`: generated specifications for home directories.
    pub homedirs: Option<&'a [u8]>,
    /// `file_contexts.local`: the administrator's specifications; they come last and so win.
    pub local: Option<&'a [u8]>,
    /// `file_contexts.subs`: the administrator's prefix substitutions, applied first.
    pub subs: Option<&'a [u8]>,
    /// `file_contexts.subs_dist`: the distribution's prefix substitutions, applied second.
    pub subs_dist: Option<&'a [u8]>,
}

/// One of the files with specifications, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFile {
    /// `file_contexts`
    Base,
    /// `file_contexts.homedirs`
    Homedirs,
    /// `file_contexts.local`
    Local,
}

impl fmt::Display for SourceFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Base => "file_contexts",
            Self::Homedirs => "file_contexts.homedirs",
            Self::Local => "file_contexts.local",
        })
    }
}

impl<'a> FileContextSources<'a> {
    /// The files with specifications, in the order in which libselinux reads them.
    pub(crate) fn specifications(&self) -> impl Iterator<Item = (SourceFile, &'a [u8])> {
        [
            (SourceFile::Base, Some(self.file_contexts)),
            (SourceFile::Homedirs, self.homedirs),
            (SourceFile::Local, self.local),
        ]
        .into_iter()
        .filter_map(|(file, bytes)| Some((file, bytes?)))
    }
}
