//! How the root of a deployment is to be mounted, as `ostree-prepare-root.conf` says.
//!
//! Source: `ostree-prepare-root(1)`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use error_class::{Classified, ErrorClass};
use ostree_format::keyfile::{KeyFile, KeyFileError};

/// Where it is, below `usr/lib` and `etc` of a deployment or an initramfs; what the latter says, counts.
const FILES: [&str; 2] = [
    "usr/lib/ostree/prepare-root.conf",
    "etc/ostree/prepare-root.conf",
];

/// Largest configuration that is read.
const MAX_CONFIG: u64 = 1024 * 1024;

/// Where the keys are by which roots are signed, when nothing else is said.
const BINDING_KEY: &str = "/etc/ostree/initramfs-root-binding.key";

/// How a root is to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever mounts a root has to heed all of it"
)]
pub struct RootConfig {
    /// Whether the root is an image.
    pub composefs: Composefs,
    /// Whether what is written to the root lasts until the next boot.
    pub root: Transient,
    /// Whether `/etc` starts anew with each boot.
    pub transient_etc: bool,
    /// Whether the physical root is read-only at `/sysroot`.
    pub sysroot_readonly: bool,
    /// The file with the public keys of those who may sign a root.
    pub keypath: String,
}

/// Whether the root is an image of composefs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the words of the file")]
pub enum Composefs {
    /// It is the directory of the deployment.
    No,
    /// It is an image where there is one.
    Maybe,
    /// It is an image.
    Yes,
    /// Only when the kernel verifies it.
    Verity,
    /// Only when somebody whose key is in the initramfs has signed it.
    Signed,
}

impl Composefs {
    /// Whether the kernel has to verify what is read.
    #[must_use]
    pub const fn needs_verity(self) -> bool {
        matches!(self, Self::Verity | Self::Signed)
    }
}

/// Whether a root can be written to until the next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the words of the file")]
pub enum Transient {
    /// It cannot.
    No,
    /// It can.
    Writable,
    /// It can once it has been mounted anew.
    ReadOnly,
}

/// Why a configuration does not say how a root is mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootConfigError {
    /// Its words cannot be understood.
    #[error(transparent)]
    Word(#[from] InvalidRootConfig),
    /// It is no key file.
    #[error("{file} cannot be understood")]
    Syntax {
        /// Where it is.
        file: &'static str,
        /// What is wrong.
        #[source]
        source: KeyFileError,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for RootConfigError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Word(_) | Self::Syntax { .. } => ErrorClass::Corrupt,
            Self::Io(error) => error.class(),
        }
    }
}

/// A word that the configuration does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("prepare-root.conf cannot be understood: {group}.{key} is {value:?}")]
pub struct InvalidRootConfig {
    /// Where it stands.
    pub group: &'static str,
    /// What it is said of.
    pub key: &'static str,
    /// The word.
    pub value: String,
}

impl RootConfig {
    /// What the files in a deployment or an initramfs say, and what the kernel's command line says of composefs
    /// (`ostree.prepare-root.composefs=`).
    ///
    /// # Errors
    /// [`RootConfigError`].
    pub fn read(
        dir: BorrowedFd<'_>,
        on_command_line: Option<&str>,
    ) -> Result<Self, RootConfigError> {
        let mut files = Vec::new();
        for file in FILES {
            if let Some(bytes) = durable::read_optional(dir, Path::new(file), MAX_CONFIG)? {
                let text = String::from_utf8_lossy(&bytes);
                let parsed = KeyFile::parse(&text);
                files.push(parsed.map_err(|source| RootConfigError::Syntax { file, source })?);
            }
        }
        Ok(Self::new(&files, on_command_line)?)
    }

    /// What the files say, the later ones counting, and what the kernel's command line says of composefs.
    fn new(files: &[KeyFile], on_command_line: Option<&str>) -> Result<Self, InvalidRootConfig> {
        let word = |group, key| {
            let values = files.iter().rev().find_map(|file| file.get(group, key));
            values.map(|value| value.trim().to_owned())
        };
        let flag = |group, key, otherwise| match word(group, key) {
            None => Ok(otherwise),
            Some(value) => boolean(&value).ok_or(InvalidRootConfig { group, key, value }),
        };
        let (group, key) = ("composefs", "enabled");
        let enabled = on_command_line.map(str::to_owned);
        let enabled = enabled.or_else(|| word(group, key)).unwrap_or_default();
        let composefs = composefs(&enabled).ok_or(InvalidRootConfig {
            group,
            key,
            value: enabled,
        })?;
        let root = match (
            flag("root", "transient", false)?,
            flag("root", "transient-ro", false)?,
        ) {
            (_, true) => Transient::ReadOnly,
            (true, false) => Transient::Writable,
            (false, false) => Transient::No,
        };
        let by_default = !matches!(composefs, Composefs::No | Composefs::Maybe);
        Ok(Self {
            composefs,
            root,
            transient_etc: flag("etc", "transient", false)?,
            sysroot_readonly: flag("sysroot", "readonly", by_default)?,
            keypath: word("composefs", "keypath").unwrap_or_else(|| BINDING_KEY.to_owned()),
        })
    }
}

fn boolean(word: &str) -> Option<bool> {
    match word {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn composefs(word: &str) -> Option<Composefs> {
    match word {
        "" => Some(Composefs::No),
        "signed" => Some(Composefs::Signed),
        "verity" => Some(Composefs::Verity),
        "maybe" => Some(Composefs::Maybe),
        word => boolean(word).map(|yes| if yes { Composefs::Yes } else { Composefs::No }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str], on_command_line: Option<&str>) -> Result<RootConfig, String> {
        let files: Vec<_> = texts
            .iter()
            .map(|text| KeyFile::parse(text).unwrap())
            .collect();
        RootConfig::new(&files, on_command_line).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_later_counts() {
        let nothing = read(&[], None).unwrap();
        assert_eq!(
            (nothing.composefs, nothing.root, nothing.transient_etc),
            (Composefs::No, Transient::No, false)
        );
        let usr = "[composefs]\nenabled = yes\n[etc]\ntransient = true\n";
        let config = read(&[usr], None).unwrap();
        assert_eq!(
            (config.composefs, config.transient_etc),
            (Composefs::Yes, true)
        );
        let etc = "[composefs]\nenabled = signed\n[root]\ntransient = yes\n";
        let config = read(&[usr, etc], None).unwrap();
        assert_eq!(
            (config.composefs, config.root),
            (Composefs::Signed, Transient::Writable)
        );
        let config = read(&[usr, etc], Some("verity")).unwrap();
        assert_eq!(config.composefs, Composefs::Verity);
        let read_only = read(&["[root]\ntransient-ro=1\n"], None).unwrap();
        assert_eq!(read_only.root, Transient::ReadOnly);
    }

    #[test]
    fn words_that_it_does_not_have_are_named() {
        for (text, expected) in [
            (
                "[composefs]\nenabled=perhaps\n",
                "composefs.enabled is \"perhaps\"",
            ),
            ("[etc]\ntransient=2\n", "etc.transient is \"2\""),
            ("[root]\ntransient=\n", "root.transient is \"\""),
        ] {
            let refused = read(&[text], None).unwrap_err();
            assert!(refused.ends_with(expected), "{refused}");
        }
    }
}
