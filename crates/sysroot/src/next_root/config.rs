//! How the root of a deployment is to be mounted, as `ostree-prepare-root.conf` says.
//!
//! Source: `ostree-prepare-root(1)`.

use ostree_format::keyfile::KeyFile;

/// Where it is, below `usr/lib` and `etc` of a deployment; what the latter says, counts.
pub(super) const FILES: [&str; 2] = [
    "usr/lib/ostree/prepare-root.conf",
    "etc/ostree/prepare-root.conf",
];

/// How a root is to be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RootConfig {
    pub(super) composefs: Composefs,
    /// Whether what is written to the root lasts until the next boot.
    pub(super) root: Transient,
    /// Whether `/etc` starts anew with each boot.
    pub(super) transient_etc: bool,
}

/// Whether the root is an image of composefs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Composefs {
    No,
    Yes,
    /// Only when the kernel verifies it.
    Verity,
    /// Only when somebody whose key is in the initramfs has signed it.
    Signed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transient {
    No,
    Writable,
    ReadOnly,
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
    /// What the files say, the later ones counting, and what the kernel's command line says of composefs.
    pub(super) fn new(
        files: &[KeyFile],
        on_command_line: Option<&str>,
    ) -> Result<Self, InvalidRootConfig> {
        let word = |group, key| {
            let values = files.iter().rev().find_map(|file| file.get(group, key));
            values.map(|value| value.trim().to_owned())
        };
        let flag = |group, key| match word(group, key) {
            None => Ok(false),
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
        let root = match (flag("root", "transient")?, flag("root", "transient-ro")?) {
            (_, true) => Transient::ReadOnly,
            (true, false) => Transient::Writable,
            (false, false) => Transient::No,
        };
        let transient_etc = flag("etc", "transient")?;
        Ok(Self {
            composefs,
            root,
            transient_etc,
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
        // Where there may be an image or not, what is told apart at boot is not known here.
        "maybe" => Some(Composefs::No),
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
