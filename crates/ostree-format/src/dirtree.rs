use crate::gvariant::{Type, Value};
use crate::{Checksum, FormatError, ObjectKind, limits};

/// The names in a directory: a `dirtree` object, `(a(say)a(sayay))`.
///
/// Both lists are sorted by the bytes of the names; no name stands in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirTree {
    /// Regular files and symbolic links, with the checksum of their object.
    pub files: Vec<(String, Checksum)>,
    /// Subdirectories.
    pub dirs: Vec<DirEntry>,
}

/// A subdirectory in a [`DirTree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: String,
    /// Its `dirtree`.
    pub contents: Checksum,
    /// Its `dirmeta`.
    pub meta: Checksum,
}

impl DirTree {
    /// The stored form. The lists must be sorted.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let sum = |c: &Checksum| Value::Bytes(c.as_bytes().to_vec());
        let files = self
            .files
            .iter()
            .map(|(name, file)| Value::Tuple(vec![Value::from(name.as_str()), sum(file)]));
        let dirs = self.dirs.iter().map(|dir| {
            Value::Tuple(vec![
                Value::from(dir.name.as_str()),
                sum(&dir.contents),
                sum(&dir.meta),
            ])
        });
        Value::Tuple(vec![
            Value::Array(file_type(), files.collect()),
            Value::Array(dir_type(), dirs.collect()),
        ])
        .to_bytes()
    }

    /// The name of the object.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        Checksum::of(&self.to_bytes())
    }

    /// Parse the stored form.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are malformed, a name is not a plain file name, or the order
    /// is not canonical.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let kind = ObjectKind::DirTree;
        let of = Type::tuple([Type::array(file_type()), Type::array(dir_type())]);
        let value = Value::from_bytes(&of, bytes)
            .map_err(|source| FormatError::Malformed { kind, source })?;
        let tree = Self::from_value(&value).ok_or_else(|| FormatError::InvalidField {
            kind,
            field: "checksum",
            value: String::new(),
        })?;
        check_names(tree.files.iter().map(|(name, _)| name.as_str()))?;
        check_names(tree.dirs.iter().map(|dir| dir.name.as_str()))?;
        Ok(tree)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let [files, dirs] = value.as_tuple()? else {
            return None;
        };
        let sum = |v: &Value| Checksum::from_slice(v.as_bytes()?);
        let file = |v: &Value| match v.as_tuple()? {
            [name, file] => Some((name.as_str()?.to_owned(), sum(file)?)),
            _ => None,
        };
        let dir = |v: &Value| match v.as_tuple()? {
            [name, contents, meta] => Some(DirEntry {
                name: name.as_str()?.to_owned(),
                contents: sum(contents)?,
                meta: sum(meta)?,
            }),
            _ => None,
        };
        Some(Self {
            files: files.as_array()?.iter().map(file).collect::<Option<_>>()?,
            dirs: dirs.as_array()?.iter().map(dir).collect::<Option<_>>()?,
        })
    }
}

fn file_type() -> Type {
    Type::tuple([Type::Str, Type::bytes()])
}

fn dir_type() -> Type {
    Type::tuple([Type::Str, Type::bytes(), Type::bytes()])
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), FormatError> {
    let mut last: Option<&str> = None;
    for name in names {
        if name.contains('/') {
            let name = name.chars().take(80).collect();
            return Err(FormatError::SlashInName { name });
        }
        let bad = name.is_empty() || name == "." || name == "..";
        if bad || name.len() > limits::MAX_NAME {
            return Err(FormatError::InvalidField {
                kind: ObjectKind::DirTree,
                field: "name",
                value: name.chars().take(80).collect(),
            });
        }
        if last.is_some_and(|last| last.as_bytes() >= name.as_bytes()) {
            return Err(FormatError::Unsorted {
                name: name.to_owned(),
            });
        }
        last = Some(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_has_the_well_known_name() {
        assert_eq!(
            DirTree::default().checksum().to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }

    #[test]
    fn refuses_traversal_and_disorder() {
        let sum = Checksum::of(b"");
        let tree = |names: &[&str]| DirTree {
            files: names.iter().map(|n| ((*n).to_owned(), sum)).collect(),
            dirs: Vec::new(),
        };
        assert_eq!(
            DirTree::from_bytes(&tree(&["a", "b"]).to_bytes()),
            Ok(tree(&["a", "b"]))
        );
        for names in [
            &[".."][..],
            &["."],
            &[""],
            &["a/b"],
            &["b", "a"],
            &["a", "a"],
        ] {
            assert!(
                DirTree::from_bytes(&tree(names).to_bytes()).is_err(),
                "{names:?}"
            );
        }
    }
}
