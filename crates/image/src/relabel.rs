//! Giving a tree the SELinux labels of its own policy.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read as _;

use file_contexts::{Policy, SELINUX_XATTR, xattr_value};
use ostree::{ReadError, Transaction, Tree, WriteError};
use ostree_format::{Checksum, ObjectKind, ObjectName, Xattrs};
use progress::{Interrupt, Progress, Share, Task, TaskKind};
use tree::{Dir, Node};

use crate::ImportError;

/// Content up to this size is held in memory while it is copied.
const IN_MEMORY: u64 = 1024 * 1024;

/// An object together with the label it is to have.
type Wanted = (Checksum, Option<String>);

/// Objects that were looked at, by what they are to become.
#[derive(Debug, Default)]
pub(crate) struct Relabelled {
    files: HashMap<Wanted, Checksum>,
    dirs: HashMap<Wanted, Checksum>,
}

/// Label all of `trees`. Trees that share files under the same paths (a layer and the image it is in)
/// share the work. Objects that have the right label stay what they are.
pub(crate) fn relabel(
    txn: &Transaction<'_>,
    policy: &Policy,
    trees: &mut [&mut Tree],
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), ImportError> {
    let mut wanted = Relabelled::default();
    let modes = modes_of(txn, trees)?;
    for tree in trees.iter() {
        collect(policy, &modes, tree, &mut b"/".to_vec(), &mut wanted)?;
    }
    let task = Task::begin(progress, TaskKind::Label, Some(wanted.files.len() as u64));
    relabel_files(txn, &mut wanted.files, &task, interrupt)?;
    for ((dirmeta, label), labelled) in &mut wanted.dirs {
        *labelled = relabel_dir(txn, dirmeta, label.as_deref())?;
    }
    for tree in trees.iter_mut() {
        apply(policy, &modes, tree, &mut b"/".to_vec(), &wanted);
    }
    task.done();
    Ok(())
}

/// Modes of all objects in the trees, which labels depend on.
#[derive(Debug, Default)]
struct Modes {
    files: HashMap<Checksum, u32>,
    dirs: HashMap<Checksum, u32>,
}

fn modes_of(txn: &Transaction<'_>, trees: &[&mut Tree]) -> Result<Modes, ReadError> {
    let mut modes = Modes::default();
    for tree in trees {
        gather_modes(txn, tree, &mut modes)?;
    }
    Ok(modes)
}

fn gather_modes(txn: &Transaction<'_>, dir: &Tree, modes: &mut Modes) -> Result<(), ReadError> {
    if let Entry::Vacant(entry) = modes.dirs.entry(dir.meta) {
        entry.insert(txn.repo().load_dirmeta(&dir.meta)?.mode);
    }
    for node in dir.children.values() {
        match node {
            Node::Dir(sub) => gather_modes(txn, sub, modes)?,
            Node::Leaf(file) => {
                if let Entry::Vacant(entry) = modes.files.entry(*file) {
                    entry.insert(txn.repo().load_file_header(file)?.mode);
                }
            }
        }
    }
    Ok(())
}

fn label(policy: &Policy, path: &[u8], mode: Option<&u32>) -> Option<String> {
    policy.commit_label(path, *mode?).map(ToOwned::to_owned)
}

/// Visit every object of `dir` with its path.
fn collect(
    policy: &Policy,
    modes: &Modes,
    dir: &Tree,
    path: &mut Vec<u8>,
    wanted: &mut Relabelled,
) -> Result<(), ImportError> {
    let key = (dir.meta, label(policy, path, modes.dirs.get(&dir.meta)));
    wanted.dirs.insert(key, dir.meta);
    for (name, node) in &dir.children {
        let length = path.len();
        push(path, name.as_bytes());
        match node {
            Node::Dir(sub) => collect(policy, modes, sub, path, wanted)?,
            Node::Leaf(file) => {
                let key = (*file, label(policy, path, modes.files.get(file)));
                wanted.files.insert(key, *file);
            }
        }
        path.truncate(length);
    }
    Ok(())
}

fn apply(
    policy: &Policy,
    modes: &Modes,
    dir: &mut Dir<Checksum, Checksum>,
    path: &mut Vec<u8>,
    done: &Relabelled,
) {
    let key = (dir.meta, label(policy, path, modes.dirs.get(&dir.meta)));
    dir.meta = done.dirs.get(&key).copied().unwrap_or(dir.meta);
    for (name, node) in &mut dir.children {
        let length = path.len();
        push(path, name.as_bytes());
        match node {
            Node::Dir(sub) => apply(policy, modes, sub, path, done),
            Node::Leaf(file) => {
                let key = (*file, label(policy, path, modes.files.get(file)));
                *file = done.files.get(&key).copied().unwrap_or(*file);
            }
        }
        path.truncate(length);
    }
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Write what files become, on all processors.
fn relabel_files(
    txn: &Transaction<'_>,
    files: &mut HashMap<Wanted, Checksum>,
    task: &Task<'_>,
    interrupt: &Interrupt,
) -> Result<(), ImportError> {
    let work: Vec<Wanted> = files.keys().cloned().collect();
    let share = Share {
        threads: None,
        batch: 1,
    };
    let done = task.share_out(
        &work,
        share,
        interrupt,
        || (Vec::new(), Vec::new()),
        |(finished, scratch), batch| -> Result<(), ImportError> {
            for wanted @ (file, label) in batch {
                let labelled = relabel_file(txn, file, label.as_deref(), scratch)?;
                finished.push((wanted.clone(), labelled));
            }
            Ok(())
        },
    )?;
    files.extend(done.into_iter().flat_map(|(finished, _)| finished));
    Ok(())
}

fn relabel_file(
    txn: &Transaction<'_>,
    file: &Checksum,
    label: Option<&str>,
    scratch: &mut Vec<u8>,
) -> Result<Checksum, ImportError> {
    let mut object = txn.repo().open_file(file)?;
    if !set_label(&mut object.header.xattrs, label) {
        return Ok(*file);
    }
    let damaged = |_| ReadError::BadContent {
        name: ObjectName::new(*file, ObjectKind::File),
        reason: "its content cannot be read to the end",
    };
    if object.size <= IN_MEMORY {
        scratch.clear();
        object.content.read_to_end(scratch).map_err(damaged)?;
        return Ok(txn.write_file(&object.header, scratch)?);
    }
    let mut writer = txn.content_writer(object.header, object.size)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match object.content.read(&mut buffer).map_err(damaged)? {
            0 => return Ok(writer.finish()?),
            count => writer.write_piece(&buffer[..count])?,
        }
    }
}

fn relabel_dir(
    txn: &Transaction<'_>,
    dirmeta: &Checksum,
    label: Option<&str>,
) -> Result<Checksum, ImportError> {
    let mut meta = txn.repo().load_dirmeta(dirmeta)?;
    if !set_label(&mut meta.xattrs, label) {
        return Ok(*dirmeta);
    }
    let written: Result<Checksum, WriteError> = txn.write_dirmeta(&meta);
    Ok(written?)
}

/// Whether the label had to be changed. What the policy has no label for keeps what it has.
fn set_label(xattrs: &mut Xattrs, label: Option<&str>) -> bool {
    let Some(value) = label.map(xattr_value) else {
        return false;
    };
    let name = SELINUX_XATTR;
    if xattrs.get(name.as_ref()) == Some(&value) {
        return false;
    }
    xattrs.insert(name.as_ref(), &value);
    true
}
