//! What a commit consists of.

use layer::Content;
use ostree::{ReadError, Repo};
use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode};

/// All content objects of the tree `contents`, each with its places in the order of the tree.
pub(crate) fn content_of(repo: &Repo, contents: &Checksum) -> Result<Content, ReadError> {
    let mut content = Content::new();
    collect(repo, contents, "", 0, &mut content)?;
    for (object, placed) in &mut content {
        placed.size = size_of(repo, object)?;
    }
    Ok(content)
}

fn collect(
    repo: &Repo,
    contents: &Checksum,
    path: &str,
    depth: usize,
    content: &mut Content,
) -> Result<(), ReadError> {
    if depth > ostree_format::limits::MAX_DEPTH {
        return Err(ReadError::TooDeep(*contents));
    }
    let tree = repo.load_dirtree(contents)?;
    let join = |name: &str| match path {
        "" => name.to_owned(),
        parent => format!("{parent}/{name}"),
    };
    for (name, object) in &tree.files {
        content.entry(*object).or_default().paths.push(join(name));
    }
    for dir in &tree.dirs {
        collect(repo, &dir.contents, &join(&dir.name), depth + 1, content)?;
    }
    Ok(())
}

/// Bytes of content, the same in every mode of repository: how layers are cut depends on it.
fn size_of(repo: &Repo, object: &Checksum) -> Result<u64, ReadError> {
    let name = ObjectName::new(*object, ObjectKind::File);
    if repo.mode() != RepoMode::Archive {
        return repo.stored_size(&name)?.ok_or(ReadError::Missing(name));
    }
    let file = repo.open_file(object)?;
    let target = file.header.symlink.as_ref();
    Ok(target.map_or(file.size, |target| target.len() as u64))
}
