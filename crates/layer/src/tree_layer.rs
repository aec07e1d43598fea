//! Importing an ordinary layer: an archive of a file tree.

use std::collections::{BTreeMap, HashMap};

use ostree::{Transaction, Tree};
use ostree_format::{Checksum, DirMeta, FileHeader, Xattrs, mode};
use progress::Interrupt;
use tree::{Dir, Name, Node};

use crate::entries::Entries;
use crate::entry::{Entry, EntryKind};
use crate::error::{EntryProblem, LayerError, printable};
use crate::file::{link_target, store_file, store_symlink};
use crate::links::DeferredLink;
use crate::paths::{PathPolicy, Place, REPO_PREFIX};
use crate::pipeline::{LayerBlob, run};
use crate::tap::Tap;

/// The attribute that holds a SELinux label.
const SELINUX: &[u8] = b"security.selinux";

/// Mode of a directory that an archive implies, but does not name.
const IMPLIED_MODE: u32 = 0o755;

/// The label of a path (absolute, as in the commit) with a mode, if the policy has one for it.
pub type Labeler<'a> = &'a (dyn Fn(&[u8], u32) -> Option<String> + Sync);

/// Choices of an import.
#[derive(Clone, Copy, Default)]
pub struct TreeOptions<'a> {
    /// What is kept where.
    pub paths: PathPolicy,
    /// Where SELinux labels come from; without it, files keep those of the archive.
    pub labeler: Option<Labeler<'a>>,
}

impl std::fmt::Debug for TreeOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeOptions")
            .field("paths", &self.paths)
            .field("labeler", &self.labeler.is_some())
            .finish()
    }
}

/// What a layer holds, with its files stored as objects.
#[derive(Debug)]
pub struct TreeLayer {
    /// The tree, whiteouts included.
    pub tree: Tree,
    /// Hard links to files of earlier layers.
    pub deferred: Vec<DeferredLink>,
    /// Entries that were not kept, counted by top-level directory.
    pub filtered: BTreeMap<String, u32>,
}

/// Import `blob` into `txn`.
///
/// # Errors
/// [`LayerError`]; the transaction must not be committed then.
pub fn import_tree(
    txn: &Transaction<'_>,
    blob: LayerBlob<'_>,
    options: TreeOptions<'_>,
    tap: Option<&mut dyn Tap>,
    interrupt: &Interrupt,
) -> Result<TreeLayer, LayerError> {
    let size = blob.size;
    run(blob, |source| {
        let mut entries = Entries::new(source, size, tap);
        let mut builder = Builder::new(txn, options)?;
        while let Some(entry) = entries.next()? {
            interrupt
                .check()
                .map_err(|stop| LayerError::store(&entry.path, stop.into()))?;
            builder.add(&mut entries, &entry)?;
        }
        builder.finish()
    })
}

struct Builder<'t> {
    txn: &'t Transaction<'t>,
    options: TreeOptions<'t>,
    root: Tree,
    /// Whether the root's metadata come from the archive.
    root_known: bool,
    /// Directory metadata that was written, so that equal ones are hashed once.
    metas: HashMap<DirMeta, Checksum>,
    /// Files inside the repository of an encapsulated image, which links may name.
    repo_files: HashMap<Vec<u8>, Checksum>,
    /// Links whose target has not been seen yet.
    pending: Vec<(Vec<Name>, Vec<u8>)>,
    deferred: Vec<DeferredLink>,
    filtered: BTreeMap<String, u32>,
    scratch: Vec<u8>,
}

impl<'t> Builder<'t> {
    fn new(txn: &'t Transaction<'t>, options: TreeOptions<'t>) -> Result<Self, LayerError> {
        let mut builder = Self {
            txn,
            options,
            root: Dir::new(Checksum::from_array([0; 32])),
            root_known: false,
            metas: HashMap::new(),
            repo_files: HashMap::new(),
            pending: Vec::new(),
            deferred: Vec::new(),
            filtered: BTreeMap::new(),
            scratch: Vec::new(),
        };
        builder.root.meta = builder.meta(b"/", 0, 0, IMPLIED_MODE, &Xattrs::new())?;
        Ok(builder)
    }

    fn add(&mut self, entries: &mut Entries<'_>, entry: &Entry) -> Result<(), LayerError> {
        let problem = |reason| LayerError::entry(&entry.path, reason);
        match self.options.paths.place(&entry.path).map_err(problem)? {
            Place::Tree(names) => self.add_to_tree(entries, entry, &names),
            Place::Repo(inside) => self.add_to_repo(entries, entry, inside),
            Place::Nowhere(top) => {
                *self.filtered.entry(top).or_default() += 1;
                entries.skip(entry)
            }
        }
    }

    fn add_to_tree(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        names: &[Name],
    ) -> Result<(), LayerError> {
        let problem = |reason| LayerError::entry(&entry.path, reason);
        let Some((name, parents)) = names.split_last() else {
            return self.set_root(entries, entry);
        };
        self.imply_root(entry)?;
        let leaf = match entry.kind {
            EntryKind::Dir => {
                entries.skip(entry)?;
                return self.add_dir(entry, parents, name);
            }
            EntryKind::HardLink => {
                entries.skip(entry)?;
                match self.link(entry)? {
                    Some(checksum) => checksum,
                    None => {
                        // It takes the place of what the archive had there before.
                        self.parent(entry, parents)?.children.remove(name);
                        self.pending.push((names.to_vec(), entry.link.clone()));
                        return Ok(());
                    }
                }
            }
            EntryKind::Special(kind) => {
                return Err(problem(EntryProblem::UnsupportedType(kind.name())));
            }
            EntryKind::File | EntryKind::Symlink => self.store(entries, entry, &absolute(names))?,
        };
        let parent = self.parent(entry, parents)?;
        parent.children.insert(name.clone(), Node::Leaf(leaf));
        Ok(())
    }

    /// An entry for the root itself.
    fn set_root(&mut self, entries: &mut Entries<'_>, entry: &Entry) -> Result<(), LayerError> {
        if entry.kind != EntryKind::Dir {
            return Err(LayerError::entry(
                &entry.path,
                EntryProblem::RootNotDirectory,
            ));
        }
        self.root.meta = self.entry_meta(entry, b"/")?;
        self.root_known = true;
        entries.skip(entry)
    }

    /// A root that is not named first belongs to the owner of the first entry.
    fn imply_root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if !self.root_known {
            self.root.meta = self.meta(b"/", entry.uid, entry.gid, IMPLIED_MODE, &Xattrs::new())?;
            self.root_known = true;
        }
        Ok(())
    }

    fn add_dir(&mut self, entry: &Entry, parents: &[Name], name: &Name) -> Result<(), LayerError> {
        let mut path = absolute(parents);
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        let meta = self.entry_meta(entry, &path)?;
        let parent = self.parent(entry, parents)?;
        match parent.children.get_mut(name) {
            Some(Node::Dir(dir)) => dir.meta = meta,
            _ => drop(
                parent
                    .children
                    .insert(name.clone(), Node::Dir(Dir::new(meta))),
            ),
        }
        Ok(())
    }

    /// A file inside the repository of an encapsulated image: only a possible target of links.
    fn add_to_repo(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        inside: Vec<u8>,
    ) -> Result<(), LayerError> {
        let checksum = match entry.kind {
            EntryKind::File => self.store(entries, entry, &[b"/", &*entry.path].concat())?,
            EntryKind::HardLink => {
                entries.skip(entry)?;
                match self.link(entry)? {
                    Some(checksum) => checksum,
                    None => return Ok(()),
                }
            }
            _ => return entries.skip(entry),
        };
        self.repo_files.insert(inside, checksum);
        Ok(())
    }

    /// Write the object of a file or symbolic link.
    fn store(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        path: &[u8],
    ) -> Result<Checksum, LayerError> {
        let (uid, gid) = (entry.uid, entry.gid);
        if entry.kind == EntryKind::Symlink {
            entries.skip(entry)?;
            let xattrs = self.labelled(&entry.xattrs, path, mode::S_IFLNK | 0o777);
            let header = FileHeader::symlink(uid, gid, link_target(entry)?, xattrs);
            return store_symlink(self.txn, entry, &header);
        }
        let xattrs = self.labelled(&entry.xattrs, path, mode::S_IFREG | entry.permissions);
        let header = FileHeader::regular(uid, gid, entry.permissions, xattrs);
        store_file(self.txn, entries, entry, header, &mut self.scratch)
    }

    /// The object that a hard link names, if its target is known by now.
    fn link(&self, entry: &Entry) -> Result<Option<Checksum>, LayerError> {
        self.find_target(&entry.link)
            .map_err(|reason| LayerError::entry(&entry.path, reason))
    }

    fn find_target(&self, target: &[u8]) -> Result<Option<Checksum>, EntryProblem> {
        if target.is_empty() {
            return Err(EntryProblem::BadLinkTarget);
        }
        match self.options.paths.place(target)? {
            Place::Repo(inside) => Ok(self.repo_files.get(&inside).copied()),
            Place::Nowhere(_) => Err(EntryProblem::DanglingLink(printable(target))),
            Place::Tree(names) => match self.root.get(names.iter().map(Name::as_bytes)) {
                Some(Node::Leaf(checksum)) => Ok(Some(*checksum)),
                Some(Node::Dir(_)) => Err(EntryProblem::LinkToDirectory(printable(target))),
                None if names.is_empty() => Err(EntryProblem::LinkToDirectory("/".to_owned())),
                None => Ok(None),
            },
        }
    }

    /// The directory that `entry` lies in; what the archive does not name is made, owned as the entry.
    fn parent(&mut self, entry: &Entry, parents: &[Name]) -> Result<&mut Tree, LayerError> {
        let known = self.known_depth(entry, parents)?;
        let mut metas = Vec::new();
        for depth in known..parents.len() {
            let path = absolute(&parents[..=depth]);
            metas.push(self.meta(&path, entry.uid, entry.gid, IMPLIED_MODE, &Xattrs::new())?);
        }
        let mut dir = &mut self.root;
        for (depth, name) in parents.iter().enumerate() {
            let node = dir
                .children
                .entry(name.clone())
                .or_insert_with(|| Node::Dir(Dir::new(metas[depth - known])));
            dir = match node {
                Node::Dir(next) => next,
                Node::Leaf(_) => return Err(not_a_directory(entry, &parents[..=depth])),
            };
        }
        Ok(dir)
    }

    /// How many of `parents` exist.
    fn known_depth(&self, entry: &Entry, parents: &[Name]) -> Result<usize, LayerError> {
        let mut dir = &self.root;
        for (depth, name) in parents.iter().enumerate() {
            match dir.children.get(name) {
                Some(Node::Dir(next)) => dir = next,
                Some(Node::Leaf(_)) => return Err(not_a_directory(entry, &parents[..=depth])),
                None => return Ok(depth),
            }
        }
        Ok(parents.len())
    }

    fn entry_meta(&mut self, entry: &Entry, path: &[u8]) -> Result<Checksum, LayerError> {
        self.meta(path, entry.uid, entry.gid, entry.permissions, &entry.xattrs)
    }

    fn meta(
        &mut self,
        path: &[u8],
        uid: u32,
        gid: u32,
        permissions: u32,
        xattrs: &Xattrs,
    ) -> Result<Checksum, LayerError> {
        let mode = mode::S_IFDIR | permissions;
        let meta = DirMeta {
            uid,
            gid,
            mode,
            xattrs: self.labelled(xattrs, path, mode),
        };
        if let Some(checksum) = self.metas.get(&meta) {
            return Ok(*checksum);
        }
        let checksum = self
            .txn
            .write_dirmeta(&meta)
            .map_err(|e| LayerError::store(path, e))?;
        self.metas.insert(meta, checksum);
        Ok(checksum)
    }

    fn labelled(&self, xattrs: &Xattrs, path: &[u8], mode: u32) -> Xattrs {
        let mut xattrs = xattrs.clone();
        if let Some(label) = self.options.labeler.and_then(|labeler| labeler(path, mode)) {
            // The stored value of a label has a terminator.
            xattrs.insert(SELINUX, &[label.as_bytes(), b"\0"].concat());
        }
        xattrs
    }

    /// Resolve what links are left, also through each other; those whose target is not in this layer
    /// are deferred.
    fn finish(mut self) -> Result<TreeLayer, LayerError> {
        loop {
            let pending = std::mem::take(&mut self.pending);
            let before = pending.len();
            for (names, target) in pending {
                if !self.resolve(&names, &target)? {
                    self.pending.push((names, target));
                }
            }
            if self.pending.len() == before {
                break;
            }
        }
        for (names, target) in std::mem::take(&mut self.pending) {
            self.defer(&absolute(&names), &target)?;
        }
        Ok(TreeLayer {
            tree: self.root,
            deferred: self.deferred,
            filtered: self.filtered,
        })
    }

    /// Whether a pending link has come to an end: by its target, or because a later entry took its place.
    fn resolve(&mut self, names: &[Name], target: &[u8]) -> Result<bool, LayerError> {
        let problem = |reason| LayerError::entry(&absolute(names), reason);
        let found = self.find_target(target).map_err(problem)?;
        let Some((name, parents)) = names.split_last() else {
            return Ok(true);
        };
        let Some(dir) = self.root.dir_mut(parents.iter().map(Name::as_bytes)) else {
            return Ok(true);
        };
        if dir.children.contains_key(name) {
            return Ok(true);
        }
        let Some(checksum) = found else {
            return Ok(false);
        };
        dir.children.insert(name.clone(), Node::Leaf(checksum));
        Ok(true)
    }

    fn defer(&mut self, path: &[u8], target: &[u8]) -> Result<(), LayerError> {
        let problem = |reason| LayerError::entry(path, reason);
        let target = match self.options.paths.place(target).map_err(problem)? {
            Place::Tree(names) => absolute(&names),
            Place::Repo(inside) => [REPO_PREFIX.as_bytes(), b"/", &inside].concat(),
            Place::Nowhere(_) => {
                return Err(problem(EntryProblem::DanglingLink(printable(target))));
            }
        };
        let text = |bytes: &[u8]| printable(bytes.strip_prefix(b"/").unwrap_or(bytes));
        self.deferred.push(DeferredLink {
            path: text(path),
            target: text(&target),
        });
        Ok(())
    }
}

/// The absolute path of `names`.
fn absolute(names: &[Name]) -> Vec<u8> {
    if names.is_empty() {
        return b"/".to_vec();
    }
    names
        .iter()
        .flat_map(|name| [&b"/"[..], name.as_bytes()])
        .flatten()
        .copied()
        .collect()
}

fn not_a_directory(entry: &Entry, parent: &[Name]) -> LayerError {
    let parent = printable(&absolute(parent));
    LayerError::entry(&entry.path, EntryProblem::ParentNotDirectory(parent))
}
