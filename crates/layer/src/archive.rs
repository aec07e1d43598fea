//! An archive as the tree of a commit, as `ostree commit --tree=tar=` takes it: paths are kept as they are.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use ostree::{CommitDirOptions, Transaction, Tree};
use ostree_format::{Checksum, DirMeta, FileHeader, limits, mode};
use progress::Interrupt;
use tree::{Dir, Name, Node};

use crate::cpio::CpioAsTar;
use crate::entries::Entries;
use crate::entry::{Entry, EntryKind};
use crate::error::{EntryProblem, LayerError, printable};
use crate::file::{link_target, store_file, store_symlink};
use crate::pipeline::{LayerBlob, run};

/// Choices of an import.
#[derive(Clone, Copy)]
pub struct ArchiveOptions<'a> {
    /// What is changed on the way, and what is left out.
    pub changes: &'a CommitDirOptions<'a>,
    /// Make directories that the archive does not name (`--tar-autocreate-parents`).
    pub autocreate_parents: bool,
    /// The path that stands for a path of the archive, both without a leading slash.
    pub rename: &'a (dyn Fn(&str) -> String + Sync),
}

impl std::fmt::Debug for ArchiveOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveOptions")
            .field("changes", &self.changes)
            .field("autocreate_parents", &self.autocreate_parents)
            .finish_non_exhaustive()
    }
}

/// Import a tar archive, packed or not, or a cpio archive in "new ASCII" form.
///
/// # Errors
/// [`LayerError`]; the transaction must not be committed then.
pub fn import_archive(
    txn: &Transaction<'_>,
    archive: impl Read + Send,
    options: ArchiveOptions<'_>,
    interrupt: &Interrupt,
) -> Result<Tree, LayerError> {
    let mut archive = BufReader::with_capacity(64 * 1024, archive);
    let is_cpio = archive.fill_buf().is_ok_and(CpioAsTar::<()>::recognises);
    let bytes: Box<dyn Read + Send> = if is_cpio {
        Box::new(CpioAsTar::new(archive))
    } else {
        Box::new(archive)
    };
    let blob = LayerBlob {
        bytes,
        // What an archive of the user's own choice unpacks to is the user's business.
        size: u64::MAX,
        diff_id: None,
    };
    run(blob, |source| {
        let mut entries = Entries::new(source, u64::MAX, None);
        let mut builder = Builder::new(txn, options)?;
        while let Some(entry) = entries.next()? {
            interrupt
                .check()
                .map_err(|stop| LayerError::store(&entry.path, stop.into()))?;
            builder.add(&mut entries, &entry)?;
        }
        Ok(builder.root)
    })
}

struct Builder<'t> {
    txn: &'t Transaction<'t>,
    options: ArchiveOptions<'t>,
    root: Tree,
    metas: HashMap<DirMeta, Checksum>,
    scratch: Vec<u8>,
}

impl<'t> Builder<'t> {
    fn new(txn: &'t Transaction<'t>, options: ArchiveOptions<'t>) -> Result<Self, LayerError> {
        let mut builder = Self {
            txn,
            options,
            root: Dir::new(Checksum::from_array([0; 32])),
            metas: HashMap::new(),
            scratch: Vec::new(),
        };
        builder.root.meta = builder.meta(Path::new("/"), DirMeta::root_owned(0o755))?;
        Ok(builder)
    }

    fn add(&mut self, entries: &mut Entries<'_>, entry: &Entry) -> Result<(), LayerError> {
        let problem = |reason| LayerError::entry(&entry.path, reason);
        let names = self.place(&entry.path).map_err(problem)?;
        let path = shown(&names);
        if path
            .ancestors()
            .any(|path| self.options.changes.skip.contains(path))
        {
            return entries.skip(entry);
        }
        let Some((name, parents)) = names.split_last() else {
            self.root.meta = self.meta(&path, dirmeta_of(entry))?;
            return entries.skip(entry);
        };
        let leaf = match entry.kind {
            EntryKind::Dir => {
                entries.skip(entry)?;
                let meta = self.meta(&path, dirmeta_of(entry))?;
                let parent = self.parent(entry, parents)?;
                match parent.children.get_mut(name) {
                    Some(Node::Dir(dir)) => dir.meta = meta,
                    _ => drop(
                        parent
                            .children
                            .insert(name.clone(), Node::Dir(Dir::new(meta))),
                    ),
                }
                return Ok(());
            }
            EntryKind::HardLink => {
                entries.skip(entry)?;
                self.target(&entry.link).map_err(problem)?
            }
            EntryKind::Special(kind) => {
                return Err(problem(EntryProblem::UnsupportedType(kind.name())));
            }
            EntryKind::File | EntryKind::Symlink => self.store(entries, entry, &path)?,
        };
        let parent = self.parent(entry, parents)?;
        parent.children.insert(name.clone(), Node::Leaf(leaf));
        Ok(())
    }

    /// The names on the way to an entry; none for the root.
    fn place(&self, path: &[u8]) -> Result<Vec<Name>, EntryProblem> {
        let text = std::str::from_utf8(path).map_err(|_| EntryProblem::NameNotUtf8)?;
        let plain: Vec<&str> = text
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        let slash = if text.ends_with('/') { "/" } else { "" };
        let renamed = (self.options.rename)(&format!("{}{slash}", plain.join("/")));
        let mut names = Vec::new();
        for part in renamed.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                return Err(EntryProblem::ParentReference);
            }
            names.push(Name::new(part.as_bytes()).map_err(|_| EntryProblem::NoName)?);
        }
        if names.len() > limits::MAX_DEPTH {
            return Err(EntryProblem::TooDeep);
        }
        Ok(names)
    }

    /// The object that a hard link names, which must have come before.
    fn target(&self, link: &[u8]) -> Result<Checksum, EntryProblem> {
        let names = self.place(link)?;
        match self.root.get(names.iter().map(Name::as_bytes)) {
            Some(Node::Leaf(checksum)) => Ok(*checksum),
            Some(Node::Dir(_)) => Err(EntryProblem::LinkToDirectory(printable(link))),
            None => Err(EntryProblem::DanglingLink(printable(link))),
        }
    }

    fn store(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        path: &Path,
    ) -> Result<Checksum, LayerError> {
        let (uid, gid, xattrs) = (entry.uid, entry.gid, entry.xattrs.clone());
        let is_link = entry.kind == EntryKind::Symlink;
        let found = if is_link {
            entries.skip(entry)?;
            FileHeader::symlink(uid, gid, link_target(entry)?, xattrs)
        } else {
            FileHeader::regular(uid, gid, entry.permissions, xattrs)
        };
        let header = self.txn.changed_file(self.options.changes, path, found);
        let header = header.map_err(|error| unlabelled(path, &error))?;
        if is_link {
            return store_symlink(self.txn, entry, &header);
        }
        store_file(self.txn, entries, entry, header, &mut self.scratch)
    }

    /// The directory that `entry` lies in.
    fn parent(&mut self, entry: &Entry, parents: &[Name]) -> Result<&mut Tree, LayerError> {
        let mut metas = Vec::new();
        for depth in 1..=parents.len() {
            let known = parents[..depth].iter().map(Name::as_bytes);
            metas.push(match self.root.get(known) {
                Some(_) => None,
                None if self.options.autocreate_parents => {
                    let path = shown(&parents[..depth]);
                    Some(self.meta(&path, DirMeta::root_owned(0o755))?)
                }
                None => return Err(LayerError::entry(&entry.path, EntryProblem::NoParent)),
            });
        }
        let mut dir = &mut self.root;
        for (name, meta) in parents.iter().zip(metas) {
            if let Some(meta) = meta {
                dir.children.insert(name.clone(), Node::Dir(Dir::new(meta)));
            }
            dir = match dir.children.get_mut(name) {
                Some(Node::Dir(next)) => next,
                _ => {
                    let parent = EntryProblem::ParentNotDirectory(name.to_string());
                    return Err(LayerError::entry(&entry.path, parent));
                }
            };
        }
        Ok(dir)
    }

    fn meta(&mut self, path: &Path, found: DirMeta) -> Result<Checksum, LayerError> {
        let meta = self.txn.changed_dir(self.options.changes, path, found);
        let meta = meta.map_err(|error| unlabelled(path, &error))?;
        if let Some(checksum) = self.metas.get(&meta) {
            return Ok(*checksum);
        }
        let written = self.txn.write_dirmeta(&meta);
        let checksum =
            written.map_err(|e| LayerError::store(path.as_os_str().as_encoded_bytes(), e))?;
        self.metas.insert(meta, checksum);
        Ok(checksum)
    }
}

fn dirmeta_of(entry: &Entry) -> DirMeta {
    DirMeta {
        uid: entry.uid,
        gid: entry.gid,
        mode: mode::S_IFDIR | entry.permissions,
        xattrs: entry.xattrs.clone(),
    }
}

fn unlabelled(path: &Path, error: &ostree::CommitDirError) -> LayerError {
    let reason = EntryProblem::Refused(error.to_string());
    LayerError::entry(path.as_os_str().as_encoded_bytes(), reason)
}

fn shown(names: &[Name]) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(names.iter().map(|name| name.to_str().unwrap_or_default()));
    path
}
