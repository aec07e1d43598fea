//! Remotes as the repository's config names them. Source: `ostree.repo-config(5)`.

use error_class::{Classified, ErrorClass};
use ostree_format::keyfile::KeyFile;

use crate::{ConfigError, Repo};

/// A remote: a group `[remote "NAME"]` of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Keys and values in order, for example `url` and `gpg-verify`.
    pub options: Vec<(String, String)>,
}

/// What to do when a remote of that name is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfPresent {
    /// Fail.
    #[default]
    Fail,
    /// Leave it as it is (`--if-not-exists`).
    Keep,
    /// Replace it (`--force`).
    Replace,
}

/// Why remotes were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The name is not allowed.
    #[error("invalid remote name {0:?}")]
    InvalidName(String),
    /// There is one already.
    #[error("remote {0:?} exists already")]
    Exists(String),
    /// There is none.
    #[error("remote {0:?} not found")]
    NotFound(String),
    /// The config could not be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for RemoteError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::InvalidName(_) | Self::Exists(_) => ErrorClass::InvalidInput,
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Config(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Remote {
    /// A remote with this URL; `metalink=URL` names a metalink file instead, as with
    /// `ostree remote add`.
    ///
    /// # Errors
    /// [`RemoteError::InvalidName`].
    pub fn new(name: &str, url: &str) -> Result<Self, RemoteError> {
        if !is_valid_name(name) {
            return Err(RemoteError::InvalidName(name.to_owned()));
        }
        let (key, value) = match url.strip_prefix("metalink=") {
            Some(url) => ("metalink", url),
            None => ("url", url),
        };
        Ok(Self {
            name: name.to_owned(),
            options: vec![(key.to_owned(), value.to_owned())],
        })
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.options.iter().find(|(k, _)| k == key)?;
        Some(&found.1)
    }

    /// Set an option.
    pub fn set(&mut self, key: &str, value: &str) {
        match self.options.iter_mut().find(|(k, _)| k == key) {
            Some(option) => value.clone_into(&mut option.1),
            None => self.options.push((key.to_owned(), value.to_owned())),
        }
    }

    /// All remotes of a key file: of a repository's config, or of a file in `remotes.d`.
    #[must_use]
    pub fn all_in(file: &KeyFile) -> Vec<Self> {
        let read = |group: &str| {
            let name = group.strip_prefix("remote \"")?.strip_suffix('"')?;
            let option = |key: &&str| (key.to_string(), file.get(group, key).unwrap_or_default());
            Some(Self {
                name: name.to_owned(),
                options: file.keys(group).iter().map(option).collect(),
            })
        };
        file.groups().into_iter().filter_map(read).collect()
    }

    /// Put the remote into a key file, replacing one of that name.
    pub fn write_to(&self, file: &mut KeyFile) {
        let group = group(&self.name);
        file.remove_group(&group);
        for (key, value) in &self.options {
            file.set(&group, key, value);
        }
    }
}

/// A remote's name is one component of a ref's.
fn is_valid_name(name: &str) -> bool {
    !name.contains('/') && name.parse::<ostree_format::refs::RefName>().is_ok()
}

fn group(name: &str) -> String {
    format!("remote \"{name}\"")
}

impl Repo {
    /// The remotes of the config, in order.
    #[must_use]
    pub fn remotes(&self) -> Vec<Remote> {
        Remote::all_in(&self.config().file)
    }

    /// The remote of this name: of the config, of those [around it](Self::add_outer_remotes), or else of
    /// the repository that this one builds on.
    #[must_use]
    pub fn remote(&self, name: &str) -> Option<Remote> {
        let inherited = || self.parent()?.remote(name);
        self.remotes()
            .into_iter()
            .chain(self.outer_remotes.iter().cloned())
            .find(|remote| remote.name == name)
            .or_else(inherited)
    }

    /// Remotes that are configured elsewhere, for example in `/etc/ostree/remotes.d`.
    #[must_use]
    pub fn outer_remotes(&self) -> &[Remote] {
        &self.outer_remotes
    }

    /// Let the repository know remotes that are configured elsewhere.
    pub fn add_outer_remotes(&mut self, remotes: impl IntoIterator<Item = Remote>) {
        self.outer_remotes.extend(remotes);
    }

    fn own_remote(&self, name: &str) -> Option<Remote> {
        self.remotes()
            .into_iter()
            .find(|remote| remote.name == name)
    }

    /// Put a remote into the config. Whether it was changed.
    ///
    /// # Errors
    /// [`RemoteError`]; the config is untouched then.
    pub fn add_remote(&mut self, remote: &Remote, how: IfPresent) -> Result<bool, RemoteError> {
        if !is_valid_name(&remote.name) {
            return Err(RemoteError::InvalidName(remote.name.clone()));
        }
        if self.own_remote(&remote.name).is_some() {
            match how {
                IfPresent::Fail => return Err(RemoteError::Exists(remote.name.clone())),
                IfPresent::Keep => return Ok(false),
                IfPresent::Replace => {}
            }
        }
        let mut config = self.config().file.clone();
        remote.write_to(&mut config);
        self.write_config(&config)?;
        Ok(true)
    }

    /// Take a remote out of the config, together with its keyring; its refs stay.
    ///
    /// # Errors
    /// [`RemoteError`]; when the keyring cannot be removed, the config is changed already.
    pub fn delete_remote(&mut self, name: &str) -> Result<(), RemoteError> {
        let mut config = self.config().file.clone();
        if self.own_remote(name).is_none() || !config.remove_group(&group(name)) {
            return Err(RemoteError::NotFound(name.to_owned()));
        }
        self.write_config(&config)?;
        let keyring = format!("{name}.trustedkeys.gpg");
        durable::remove_all(self.dir(), keyring.as_ref())?;
        Ok(())
    }
}
