//! `bootroot ostree config`

use std::io::Write;

use clap::{Args, ValueEnum};
use error_class::{Classified, ErrorClass};
use ostree::Repo;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Show or change the configuration of the repository
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// The group; without it, the part of KEY before the first dot
    #[arg(long)]
    group: Option<String>,
    /// What to do
    #[arg(value_enum)]
    operation: Operation,
    /// The key
    key: String,
    /// The value, for `set`
    value: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    /// Print a value
    Get,
    /// Change a value
    Set,
    /// Remove a value; one that is not there is fine
    Unset,
}

/// Why the setting was neither shown nor changed.
#[derive(Debug, thiserror::Error)]
enum SettingError {
    #[error("Key must be of the form \"sectionname.keyname\"")]
    NoGroup,
    #[error("KEY and VALUE must be specified")]
    NoValue,
    #[error("Too many arguments given")]
    TooMany,
    #[error("Key file does not have group \u{201c}{0}\u{201d}")]
    GroupNotFound(String),
    #[error("Key file does not have key \u{201c}{key}\u{201d} in group \u{201c}{group}\u{201d}")]
    KeyNotFound { group: String, key: String },
}

impl Classified for SettingError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::GroupNotFound(_) | Self::KeyNotFound { .. } => ErrorClass::NotFound,
            Self::NoGroup | Self::NoValue | Self::TooMany => ErrorClass::InvalidInput,
        }
    }
}

impl Config {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = context.place().open_repository()?;
        let (group, key) = self.place()?;
        if self.operation == Operation::Get {
            let value = self.get(&repo, group, key)?;
            let mut out = context.results();
            writeln!(out, "{value}")?;
            out.finish()?;
        } else {
            self.change(&mut repo, group, key)?;
        }
        Ok(Exit::Done)
    }

    fn place(&self) -> Result<(&str, &str), SettingError> {
        match &self.group {
            Some(group) => Ok((group, &self.key)),
            None => self.key.split_once('.').ok_or(SettingError::NoGroup),
        }
    }

    fn get(&self, repo: &Repo, group: &str, key: &str) -> Result<String, SettingError> {
        let file = &repo.config().file;
        if self.value.is_some() {
            return Err(SettingError::TooMany);
        }
        if !file.has_group(group) {
            return Err(SettingError::GroupNotFound(group.to_owned()));
        }
        let value = file.get_raw(group, key).map(str::to_owned);
        value.ok_or_else(|| SettingError::KeyNotFound {
            group: group.to_owned(),
            key: key.to_owned(),
        })
    }

    fn change(&self, repo: &mut Repo, group: &str, key: &str) -> Result<(), Failure> {
        let mut file = repo.config().file.clone();
        match (self.operation, &self.value) {
            (Operation::Set, Some(value)) => file.set(group, key, value),
            (Operation::Set, None) => return Err(SettingError::NoValue.into()),
            (_, Some(_)) => return Err(SettingError::TooMany.into()),
            (_, None) => {
                file.remove(group, key);
            }
        }
        Ok(repo.write_config(&file)?)
    }
}
