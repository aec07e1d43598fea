use std::fmt;

use error_class::{Classified, ErrorClass};
use serde::{Serialize, Serializer};

/// One kernel argument: `key` or `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelArg {
    /// What stands before the first `=`, quotes included.
    pub key: String,
    /// What stands after it; `None` without `=`, which is not the same as an empty value.
    pub value: Option<String>,
}

/// Ordered kernel arguments, edited by libostree's rules.
///
/// Arguments are separated by spaces outside double quotes; quotes are kept as they are. A key may
/// occur several times, with equal or different values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelArgs(Vec<KernelArg>);

/// Why an edit was refused. The arguments before it in the same call have been edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelArgError {
    /// No argument has the key.
    #[error("no kernel argument {0:?}")]
    NoKey(String),
    /// The key is there, but not with that value.
    #[error("no kernel argument {0:?} with that value")]
    NoValue(String),
    /// The key is there several times, so the value has to be named.
    #[error("kernel argument {0:?} is there several times: give KEY=VALUE")]
    Ambiguous(String),
}

impl Classified for KernelArgError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoKey(_) | Self::NoValue(_) => ErrorClass::NotFound,
            Self::Ambiguous(_) => ErrorClass::InvalidInput,
        }
    }
}

impl KernelArg {
    fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self {
                key: key.to_owned(),
                value: Some(value.to_owned()),
            },
            None => Self {
                key: text.to_owned(),
                value: None,
            },
        }
    }
}

impl KernelArgs {
    /// No arguments.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Split a command line. A quote that is not closed reaches to the end of the line.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let mut args = Self::new();
        args.append(line);
        args
    }

    /// The arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = &KernelArg> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an argument has this key; of `key=value` only the key counts.
    #[must_use]
    pub fn contains(&self, arg: &str) -> bool {
        let wanted = KernelArg::parse(arg).key;
        self.with_key(&wanted).next().is_some()
    }

    /// The value of the last argument with this key.
    #[must_use]
    pub fn last_value(&self, key: &str) -> Option<&str> {
        let last = self.0.iter().rev().find(|arg| arg.key == key)?;
        last.value.as_deref()
    }

    /// Add arguments at the end (`--append`); several may stand in `args`.
    pub fn append(&mut self, args: &str) {
        self.0.extend(split(args).map(KernelArg::parse));
    }

    /// Add arguments at the end unless the key of `args` is there already.
    pub fn append_if_missing(&mut self, args: &str) {
        if !self.contains(args) {
            self.append(args);
        }
    }

    /// Put one argument in the place of the first with its key and remove the others with that key;
    /// without any, add it at the end. `arg` is not split at spaces.
    pub fn set(&mut self, arg: &str) {
        let arg = KernelArg::parse(arg);
        let place = self.with_key(&arg.key).next().map(|(index, _)| index);
        self.0.retain(|old| old.key != arg.key);
        self.0.insert(place.unwrap_or(self.0.len()), arg);
    }

    /// Replace values (`--replace`): `key=new` or `key` for a key that is there once, `key=old=new`
    /// for one of several.
    ///
    /// # Errors
    /// [`KernelArgError`] for the first that is not there or not unique.
    pub fn replace(&mut self, args: &str) -> Result<(), KernelArgError> {
        for arg in split(args).map(KernelArg::parse) {
            let change = arg.value.as_deref().and_then(|value| value.split_once('='));
            let (index, new) = match change {
                Some((old, new)) => (self.index_of(&arg.key, old)?, Some(new.to_owned())),
                None => (self.only_index(&arg.key)?, arg.value),
            };
            if let Some(place) = self.0.get_mut(index) {
                place.value = new;
            }
        }
        Ok(())
    }

    /// Delete arguments (`--delete`): `key=value`, or `key` when it is there once or without a value.
    ///
    /// # Errors
    /// [`KernelArgError`] for the first that is not there or not unique.
    pub fn delete(&mut self, args: &str) -> Result<(), KernelArgError> {
        for arg in split(args).map(KernelArg::parse) {
            let index = self.index_to_delete(&arg)?;
            self.0.remove(index);
        }
        Ok(())
    }

    /// [`Self::delete`] if the key of `args` is there, nothing otherwise.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn delete_if_present(&mut self, args: &str) -> Result<(), KernelArgError> {
        if self.contains(args) {
            self.delete(args)
        } else {
            Ok(())
        }
    }

    /// The arguments one by one, as text.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The arguments without every `ostree=`: what is compared to tell whether two deployments boot
    /// alike.
    #[must_use]
    pub fn without_ostree(&self) -> Self {
        let others = self.0.iter().filter(|arg| arg.key != "ostree");
        Self(others.cloned().collect())
    }

    /// The arguments of a running kernel (`/proc/cmdline`) without those that boot loaders add:
    /// `BOOT_IMAGE=` (GRUB) and `initrd=` (systemd-boot).
    #[must_use]
    pub fn from_proc_cmdline(line: &str) -> Self {
        let mut args = Self::new();
        for arg in split(line.trim_end()) {
            if !arg.starts_with("BOOT_IMAGE=") && !arg.starts_with("initrd=") {
                args.append(arg);
            }
        }
        args
    }

    fn with_key<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (usize, &'a KernelArg)> {
        self.0
            .iter()
            .enumerate()
            .filter(move |(_, arg)| arg.key == key)
    }

    fn only_index(&self, key: &str) -> Result<usize, KernelArgError> {
        let mut found = self.with_key(key);
        let (index, _) = found
            .next()
            .ok_or_else(|| KernelArgError::NoKey(key.to_owned()))?;
        match found.next() {
            None => Ok(index),
            Some(_) => Err(KernelArgError::Ambiguous(key.to_owned())),
        }
    }

    fn index_of(&self, key: &str, value: &str) -> Result<usize, KernelArgError> {
        if self.with_key(key).next().is_none() {
            return Err(KernelArgError::NoKey(key.to_owned()));
        }
        let mut found = self
            .with_key(key)
            .filter(|(_, arg)| arg.value.as_deref() == Some(value));
        let missing = || KernelArgError::NoValue(format!("{key}={value}"));
        found.next().map(|(index, _)| index).ok_or_else(missing)
    }

    fn index_to_delete(&self, arg: &KernelArg) -> Result<usize, KernelArgError> {
        if let Some(value) = &arg.value {
            return self.index_of(&arg.key, value);
        }
        let mut bare = self
            .with_key(&arg.key)
            .filter(|(_, old)| old.value.is_none());
        match bare.next() {
            Some((index, _)) => Ok(index),
            None => self.only_index(&arg.key),
        }
    }
}

/// The arguments of a line. Empty ones, from several spaces in a row, are left out.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = line.split(move |c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    });
    parts.filter(|part| !part.is_empty())
}

impl fmt::Display for KernelArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        self.value
            .as_ref()
            .map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

/// The command line, arguments separated by one space.
impl fmt::Display for KernelArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{arg}")?;
        }
        Ok(())
    }
}

impl Serialize for KernelArgs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_what_boot_loaders_add() {
        let line = "BOOT_IMAGE=(hd0,gpt3)/vmlinuz root=LABEL=root initrd=\\a\\b.img rw\n";
        assert_eq!(
            KernelArgs::from_proc_cmdline(line).to_string(),
            "root=LABEL=root rw"
        );
    }

    #[test]
    fn compares_without_ostree() {
        let args = KernelArgs::parse("a ostree=/x b ostree=/y");
        assert_eq!(args.without_ostree(), KernelArgs::parse("a b"));
        assert_eq!(args.last_value("ostree"), Some("/y"));
    }
}
