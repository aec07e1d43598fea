//! What a commit consists of.

use layer::{Content, ObjectSource};
use ostree::ReadError;
use ostree_format::Checksum;

/// All content objects of the tree `contents`, each with its places in the order of the tree.
pub(crate) fn content_of(
    source: &dyn ObjectSource,
    contents: &Checksum,
) -> Result<Content, ReadError> {
    let mut content = Content::new();
    collect(source, contents, "", 0, &mut content)?;
    for (object, placed) in &mut content {
        placed.size = source.size(object)?;
    }
    Ok(content)
}

fn collect(
    source: &dyn ObjectSource,
    contents: &Checksum,
    path: &str,
    depth: usize,
    content: &mut Content,
) -> Result<(), ReadError> {
    if depth > ostree_format::limits::MAX_DEPTH {
        return Err(ReadError::TooDeep(*contents));
    }
    let tree = source.dirtree(contents)?;
    let join = |name: &str| match path {
        "" => name.to_owned(),
        parent => format!("{parent}/{name}"),
    };
    for (name, object) in &tree.files {
        content.entry(*object).or_default().paths.push(join(name));
    }
    for dir in &tree.dirs {
        collect(source, &dir.contents, &join(&dir.name), depth + 1, content)?;
    }
    Ok(())
}
