//! Logically bound images: those that a system's own units run, and that are to be there before it boots.
//!
//! Source of the format: bootc, "Logically bound images"; `podman-systemd.unit(5)` and `systemd.syntax(7)` for the
//! units.

use error_class::{Classified, ErrorClass};

/// Where a system has links to the units of its bound images.
pub const BOUND_IMAGES: &str = "usr/lib/bootc/bound-images.d";

/// An image that a system binds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct BoundImage {
    /// Its name, as podman is told it.
    pub image: String,
    /// The credentials that it is fetched with, when the unit says so: an absolute path.
    pub auth_file: Option<String>,
}

/// A unit binds no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoundImageError {
    /// It is neither an `.image` nor a `.container`.
    #[error("{0} is neither a .image nor a .container")]
    Kind(String),
    /// It does not say which.
    #[error("there is no Image= in its section [{0}]")]
    NoImage(&'static str),
    /// What stands for something else cannot be known before the system runs.
    #[error("specifiers of systemd are not supported in bound images: {0:?}")]
    Specifier(String),
    /// The name is that of another unit.
    #[error("{0:?} is a unit: bind that one")]
    Unit(String),
    /// The path is relative.
    #[error("the path of the credentials {0:?} is not absolute")]
    RelativeAuthFile(String),
}

impl Classified for BoundImageError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl BoundImage {
    /// The image that a unit with this file name and this text binds.
    ///
    /// # Errors
    /// [`BoundImageError`].
    pub fn parse(file_name: &str, text: &str) -> Result<Self, BoundImageError> {
        let (section, auth_file) = match file_name.rsplit_once('.') {
            Some((_, "image")) => ("Image", last(text, "Image", "AuthFile")),
            Some((_, "container")) => ("Container", authfile_option(text)),
            _ => return Err(BoundImageError::Kind(file_name.to_owned())),
        };
        let image = last(text, section, "Image").ok_or(BoundImageError::NoImage(section))?;
        let image = without_specifiers(&image)?;
        if [".image", ".build"]
            .iter()
            .any(|kind| image.ends_with(kind))
        {
            return Err(BoundImageError::Unit(image));
        }
        let auth_file = auth_file
            .map(|path| without_specifiers(&path))
            .transpose()?;
        match auth_file {
            Some(path) if !path.starts_with('/') => Err(BoundImageError::RelativeAuthFile(path)),
            auth_file => Ok(Self { image, auth_file }),
        }
    }
}

/// What `PodmanArgs=` of a container says of credentials.
fn authfile_option(text: &str) -> Option<String> {
    let all = values(text, "Container", "PodmanArgs").join(" ");
    let mut words = all.split_whitespace();
    let mut found = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--authfile") {
            Some("") => found = words.next(),
            Some(rest) => found = rest.strip_prefix('=').or(found),
            None => {}
        }
    }
    found.map(str::to_owned)
}

/// The last value that a key has in a section; an empty one takes back those before.
fn last(text: &str, section: &str, key: &str) -> Option<String> {
    values(text, section, key).pop()
}

fn values(text: &str, section: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    for line in joined(text) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut current);
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if current != section || name.trim_end() != key {
            continue;
        }
        match value.trim() {
            "" => found.clear(),
            value => found.push(unquoted(value).to_owned()),
        }
    }
    found
}

fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

/// The lines, of which those that end in a backslash go on in the next; without comments.
fn joined(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        let mut whole = begun.take().unwrap_or_default();
        match trimmed.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                whole.push(' ');
                begun = Some(whole);
            }
            None => {
                whole.push_str(trimmed);
                lines.push(whole);
            }
        }
    }
    lines.extend(begun);
    lines
}

/// `%%` is a percent sign; everything else behind one stands for something.
fn without_specifiers(value: &str) -> Result<String, BoundImageError> {
    let plain = value.replace("%%", "\0");
    if plain.contains('%') {
        return Err(BoundImageError::Specifier(value.to_owned()));
    }
    Ok(plain.replace('\0', "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<(String, Option<String>), String> {
        let found = BoundImage::parse(name, text);
        found
            .map(|bound| (bound.image, bound.auth_file))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn units_name_their_images() {
        let image =
            "# a comment\n[Unit]\nImage=no\n[Image]\nImage = quay.io/a/b:1\nAuthFile=/etc/a.json\n";
        assert_eq!(
            read("a.image", image),
            Ok(("quay.io/a/b:1".to_owned(), Some("/etc/a.json".to_owned())))
        );
        let container = "[Container]\nImage=old\nImage=\\\n  \"quay.io/a/%%b\"\nPodmanArgs=-q --authfile=/run/a\n";
        assert_eq!(
            read("x.container", container),
            Ok(("quay.io/a/%b".to_owned(), Some("/run/a".to_owned())))
        );
        let apart = "[Container]\nImage=i\nPodmanArgs=--authfile /run/b --x\n";
        let found = read("x.container", apart).unwrap();
        assert_eq!(found.1.as_deref(), Some("/run/b"));
        assert_eq!(
            read("x.container", "[Container]\nImage=i\n"),
            Ok(("i".to_owned(), None))
        );
    }

    #[test]
    fn units_that_bind_no_image_are_refused() {
        for (name, text, expected) in [
            ("x.service", "[Image]\nImage=a\n", "neither"),
            ("x", "[Image]\nImage=a\n", "neither"),
            ("x.image", "[Container]\nImage=a\n", "no Image="),
            ("x.image", "[Image]\nImage=a\nImage=\n", "no Image="),
            ("x.container", "[Image]\nImage=a\n", "no Image="),
            ("x.image", "[Image]\nImage=a%b\n", "specifiers"),
            ("x.image", "[Image]\nImage=%%%b\n", "specifiers"),
            ("x.image", "[Image]\nImage=a%\n", "specifiers"),
            ("x.container", "[Container]\nImage=my.image\n", "is a unit"),
            (
                "x.image",
                "[Image]\nImage=a\nAuthFile=auth.json\n",
                "not absolute",
            ),
        ] {
            let refused = read(name, text).unwrap_err();
            assert!(refused.contains(expected), "{name} {text:?}: {refused}");
        }
    }
}
