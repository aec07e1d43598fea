//! Hard links whose target is not in the layer that names it.

use ostree_format::gvariant::{Type, Value};
use ostree_format::{Checksum, ObjectKind, ObjectName};

/// A hard link to a file of an earlier layer. It is kept beside the layer's tree and resolved when the
/// layers are merged, because what it means depends on what lies below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeferredLink {
    /// Where the link is in the tree, without leading slash.
    pub path: String,
    /// What it names: a path in the tree, or one below [`crate::REPO_PREFIX`].
    pub target: String,
}

impl DeferredLink {
    /// The content object that the target names outright, when it lies in the repository of an
    /// encapsulated image.
    #[must_use]
    pub fn target_object(&self) -> Option<Checksum> {
        let inside = self.target.strip_prefix(crate::REPO_PREFIX)?;
        let (head, file) = inside.strip_prefix("/objects/")?.split_once('/')?;
        let name = ObjectName::from_loose(head, file)?;
        (name.kind == ObjectKind::File).then_some(name.checksum)
    }

    /// The form in which a layer's commit keeps them: `a(ss)`.
    #[must_use]
    pub fn list_to_value(links: &[Self]) -> Value {
        let pair = |link: &Self| {
            Value::Tuple(vec![
                Value::from(link.path.as_str()),
                Value::from(link.target.as_str()),
            ])
        };
        Value::Array(
            Type::tuple([Type::Str, Type::Str]),
            links.iter().map(pair).collect(),
        )
    }

    /// Back from [`DeferredLink::list_to_value`].
    #[must_use]
    pub fn list_from_value(value: &Value) -> Option<Vec<Self>> {
        let link = |value: &Value| match value.as_tuple()? {
            [path, target] => Some(Self {
                path: path.as_str()?.to_owned(),
                target: target.as_str()?.to_owned(),
            }),
            _ => None,
        };
        value.as_array()?.iter().map(link).collect()
    }
}
