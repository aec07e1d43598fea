//! `bootroot ostree ls`

use std::io::{self, Write};

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::gvariant::Value;
use ostree_format::{Checksum, DirMeta, FileHeader, Xattrs, limits};

use super::variant;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::results::Results;

/// List file paths
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Show directories themselves instead of what is in them
    #[arg(short, long)]
    dironly: bool,
    /// Print directories recursively
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Print checksum
    #[arg(short = 'C', long)]
    checksum: bool,
    /// Print extended attributes
    #[arg(short = 'X', long)]
    xattrs: bool,
    /// Only names, with a NUL after each
    #[arg(long)]
    nul_filenames_only: bool,
    /// The commit
    commit: String,
    /// Paths in the commit [default: /]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
}

/// The commit has no such path.
#[derive(Debug, thiserror::Error)]
enum NoSuchPath {
    #[error("No such file or directory: {path} in commit {commit}")]
    Absent { commit: Checksum, path: String },
    #[error("Not a directory: {0}")]
    NotADirectory(String),
}

impl Classified for NoSuchPath {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

/// A thing in a commit.
#[derive(Clone, Copy)]
pub(super) enum Item {
    Dir { contents: Checksum, meta: Checksum },
    File(Checksum),
}

impl Ls {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let id = repo.resolve(&self.commit)?;
        let commit = repo.load_commit(&id)?;
        let root = Item::Dir {
            contents: commit.contents,
            meta: commit.meta,
        };
        let mut listing = Listing {
            repo: &repo,
            options: &self,
            out: context.results(),
        };
        for path in self.wanted() {
            let (item, path) = find(&repo, root, path)?.ok_or_else(|| NoSuchPath::Absent {
                commit: id,
                path: path.to_owned(),
            })?;
            listing.print(item, &path)?;
            listing.descend(item, &path, self.depth())?;
        }
        listing.out.finish()?;
        Ok(Exit::Done)
    }

    fn wanted(&self) -> Vec<&str> {
        if self.paths.is_empty() {
            vec!["/"]
        } else {
            self.paths.iter().map(String::as_str).collect()
        }
    }

    /// How many levels below a directory are shown.
    fn depth(&self) -> usize {
        match (self.recursive, self.dironly) {
            (true, _) => limits::MAX_DEPTH,
            (false, true) => 0,
            (false, false) => 1,
        }
    }
}

/// Follows a path from the root, and gives it back in plain form. Links are not followed.
fn find(repo: &Repo, root: Item, path: &str) -> Result<Option<(Item, String)>, Failure> {
    let mut trail = vec![(root, String::new())];
    for name in path
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".")
    {
        if name == ".." {
            trail.truncate(trail.len().saturating_sub(1).max(1));
            continue;
        }
        let (item, here) = trail.last().expect("the root is never left");
        if let Item::File(_) = item {
            return Err(NoSuchPath::NotADirectory(here.clone()).into());
        }
        match child(repo, *item, name)? {
            Some(item) => trail.push((item, format!("{here}/{name}"))),
            None => return Ok(None),
        }
    }
    let (item, path) = trail.pop().expect("the root is never left");
    Ok(Some((
        item,
        if path.is_empty() {
            "/".to_owned()
        } else {
            path
        },
    )))
}

pub(super) fn child(repo: &Repo, item: Item, name: &str) -> Result<Option<Item>, Failure> {
    let Item::Dir { contents, .. } = item else {
        return Ok(None);
    };
    let tree = repo.load_dirtree(&contents)?;
    let file = tree
        .files
        .iter()
        .find(|(file, _)| file == name)
        .map(|(_, id)| Item::File(*id));
    let dir = tree.dirs.iter().find(|dir| dir.name == name);
    Ok(file.or(dir.map(|dir| Item::Dir {
        contents: dir.contents,
        meta: dir.meta,
    })))
}

struct Listing<'a> {
    repo: &'a Repo,
    options: &'a Ls,
    out: Results,
}

impl Listing<'_> {
    /// Shows what is below a directory: first its files, then each directory with what is in it.
    fn descend(&mut self, item: Item, path: &str, depth: usize) -> Result<(), Failure> {
        let Item::Dir { contents, .. } = item else {
            return Ok(());
        };
        if depth == 0 {
            return Ok(());
        }
        let parent = path.trim_end_matches('/');
        let tree = self.repo.load_dirtree(&contents)?;
        for (name, id) in &tree.files {
            self.print(Item::File(*id), &format!("{parent}/{name}"))?;
        }
        for dir in &tree.dirs {
            let item = Item::Dir {
                contents: dir.contents,
                meta: dir.meta,
            };
            let path = format!("{parent}/{}", dir.name);
            self.print(item, &path)?;
            self.descend(item, &path, depth - 1)?;
        }
        Ok(())
    }

    fn print(&mut self, item: Item, path: &str) -> Result<(), Failure> {
        if self.options.nul_filenames_only {
            self.out.write_all(path.as_bytes())?;
            self.out.write_all(b"\0")?;
            return Ok(());
        }
        match item {
            Item::Dir { contents, meta } => self.print_dir(path, contents, meta),
            Item::File(id) => self.print_file(path, id),
        }
    }

    fn print_dir(&mut self, path: &str, contents: Checksum, id: Checksum) -> Result<(), Failure> {
        let DirMeta {
            uid,
            gid,
            mode,
            xattrs,
        } = self.repo.load_dirmeta(&id)?;
        self.common('d', mode, uid, gid, 0)?;
        if self.options.checksum {
            write!(self.out, "{contents} ")?;
        }
        self.details(id, &xattrs)?;
        writeln!(self.out, "{path}")?;
        Ok(())
    }

    fn print_file(&mut self, path: &str, id: Checksum) -> Result<(), Failure> {
        let file = self.repo.open_file(&id)?;
        let FileHeader {
            uid,
            gid,
            mode,
            xattrs,
            symlink,
        } = &file.header;
        let kind = if symlink.is_some() { 'l' } else { '-' };
        self.common(kind, *mode, *uid, *gid, file.size)?;
        self.details(id, xattrs)?;
        match symlink {
            Some(target) => writeln!(self.out, "{path} -> {target}")?,
            None => writeln!(self.out, "{path}")?,
        }
        Ok(())
    }

    fn common(&mut self, kind: char, mode: u32, uid: u32, gid: u32, size: u64) -> io::Result<()> {
        let permissions = mode & 0o7777;
        write!(self.out, "{kind}0{permissions:04o} {uid} {gid} {size:6} ")
    }

    fn details(&mut self, id: Checksum, xattrs: &Xattrs) -> io::Result<()> {
        if self.options.checksum {
            write!(self.out, "{id} ")?;
        }
        if self.options.xattrs {
            write!(
                self.out,
                "{{ {} }} ",
                variant::annotated(&xattrs_value(xattrs))
            )?;
        }
        Ok(())
    }
}

/// The attributes as `a(ayay)`, names with their NUL.
pub(crate) fn xattrs_value(xattrs: &Xattrs) -> Value {
    let pairs = xattrs.iter().map(|(name, value)| {
        let name = [name, b"\0"].concat();
        Value::Tuple(vec![Value::Bytes(name), Value::Bytes(value.to_vec())])
    });
    let of = Value::Tuple(vec![Value::Bytes(vec![]), Value::Bytes(vec![])]).value_type();
    Value::Array(of, pairs.collect())
}
