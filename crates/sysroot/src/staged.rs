//! A deployment that is complete but for the last steps, which are taken at shutdown.
//!
//! Its description stands in `/run/ostree/staged-deployment`: a GVariant `a{sv}` in libostree's layout,
//! so that either program can finalise what the other has staged.

use boot_format::{BootChecksum, KernelArgs};
use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;
use ostree_format::gvariant::{Type, Value};

use crate::DeploymentId;

/// What `/run/ostree/staged-deployment` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedData {
    /// The staged deployment and its kernel.
    pub target: (DeploymentId, BootChecksum),
    /// The deployment whose changes to `/etc` it is to get.
    pub merge: Option<(DeploymentId, BootChecksum)>,
    /// Its kernel arguments; those of the merge deployment when `None`.
    pub kernel_args: Option<Vec<String>>,
    /// Checksums of additional initrds.
    pub overlay_initrds: Vec<String>,
    /// Whether finalising waits for a release.
    pub locked: bool,
    /// Keys of the boot entry that libostree does not know itself.
    pub extra_fields: Vec<(String, String)>,
}

/// The description of a staged deployment cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the description of the staged deployment is damaged: {0}")]
pub struct StagedError(&'static str);

impl Classified for StagedError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl StagedData {
    /// Parse the file.
    ///
    /// # Errors
    /// [`StagedError`] says which part does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StagedError> {
        let dict = Metadata::from_bytes(bytes).map_err(|_| StagedError("not a dictionary"))?;
        let target = dict.get("target").ok_or(StagedError("it has no target"))?;
        Ok(Self {
            target: deployment(target).ok_or(StagedError("its target"))?,
            merge: optional(
                &dict,
                "merge-deployment",
                deployment,
                "its merge deployment",
            )?,
            kernel_args: optional(&dict, "kargs", strings, "its kernel arguments")?,
            overlay_initrds: optional(&dict, "overlay-initrds", strings, "its initrds")?
                .unwrap_or_default(),
            locked: matches!(dict.get("locked"), Some(Value::Bool(true))),
            extra_fields: optional(&dict, "bootconfig-extra", pairs, "its extra keys")?
                .unwrap_or_default(),
        })
    }

    /// The bytes of the file, keys in libostree's order.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut dict = Metadata::new();
        dict.insert("target", describe(&self.target));
        if self.locked {
            dict.insert("locked", Value::Bool(true));
        }
        if let Some(merge) = &self.merge {
            dict.insert("merge-deployment", describe(merge));
        }
        if let Some(args) = &self.kernel_args {
            dict.insert("kargs", string_array(args));
        }
        if !self.overlay_initrds.is_empty() {
            dict.insert("overlay-initrds", string_array(&self.overlay_initrds));
        }
        if !self.extra_fields.is_empty() {
            dict.insert("bootconfig-extra", pair_array(&self.extra_fields));
        }
        dict.to_bytes()
    }

    /// The kernel arguments as one command line.
    #[must_use]
    pub fn command_line(&self) -> Option<KernelArgs> {
        let args = self.kernel_args.as_ref()?;
        let mut line = KernelArgs::new();
        args.iter().for_each(|arg| line.append(arg));
        Some(line)
    }
}

fn optional<T>(
    dict: &Metadata,
    key: &str,
    read: fn(&Value) -> Option<T>,
    what: &'static str,
) -> Result<Option<T>, StagedError> {
    let read = |value| read(value).ok_or(StagedError(what));
    dict.get(key).map(read).transpose()
}

fn deployment(value: &Value) -> Option<(DeploymentId, BootChecksum)> {
    let dict = Metadata::from_value(value)?;
    let stateroot = dict.get_str("osname")?.parse().ok()?;
    let id = DeploymentId::from_directory(stateroot, dict.get_str("name")?).ok()?;
    Some((id, dict.get_str("bootcsum")?.parse().ok()?))
}

fn describe((id, checksum): &(DeploymentId, BootChecksum)) -> Value {
    let mut dict = Metadata::new();
    dict.insert("name", id.directory());
    dict.insert("osname", id.stateroot.as_str());
    dict.insert("bootcsum", checksum.as_str());
    dict.to_value()
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    value.as_array()?.iter().map(text).collect()
}

fn string_array(items: &[String]) -> Value {
    let values = items.iter().map(|item| Value::from(item.as_str()));
    Value::Array(Type::Str, values.collect())
}

fn pairs(value: &Value) -> Option<Vec<(String, String)>> {
    let pair = |value: &Value| match value {
        Value::DictEntry(pair) => Some((pair.0.as_str()?.to_owned(), pair.1.as_str()?.to_owned())),
        _ => None,
    };
    value.as_array()?.iter().map(pair).collect()
}

fn pair_array(items: &[(String, String)]) -> Value {
    let entry = Type::DictEntry(Box::new((Type::Str, Type::Str)));
    let value = |(key, value): &(String, String)| {
        Value::DictEntry(Box::new((
            Value::from(key.as_str()),
            Value::from(value.as_str()),
        )))
    };
    Value::Array(entry, items.iter().map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostree_format::Checksum;

    fn id(serial: u32) -> (DeploymentId, BootChecksum) {
        let stateroot = "os".parse().unwrap();
        let id = DeploymentId {
            stateroot,
            commit: Checksum::of(b"x"),
            serial,
        };
        (id, "a".repeat(64).parse().unwrap())
    }

    #[test]
    fn is_read_back_as_written() {
        let full = StagedData {
            target: id(1),
            merge: Some(id(0)),
            kernel_args: Some(vec!["rw".into(), "root=LABEL=x y".into()]),
            overlay_initrds: vec!["b".repeat(64)],
            locked: true,
            extra_fields: vec![("x-options-source-tuned".into(), "a=b".into())],
        };
        let least = StagedData {
            merge: None,
            kernel_args: None,
            overlay_initrds: Vec::new(),
            locked: false,
            extra_fields: Vec::new(),
            ..full.clone()
        };
        for data in [full, least] {
            assert_eq!(StagedData::from_bytes(&data.to_bytes()), Ok(data));
        }
    }

    #[test]
    fn damage_is_told() {
        assert!(StagedData::from_bytes(b"\xff\xff\xff").is_err());
        assert_eq!(
            StagedData::from_bytes(b""),
            Err(StagedError("it has no target"))
        );
    }
}
