//! Metalinks: which servers have a repository's summary, and what it must hash to. Pure.
//!
//! Source: the Metalink 3.0 format (<http://www.metalinker.org/>), of which libostree reads `file`, `size`,
//! `verification/hash` and `resources/url`.

use error_class::{Classified, ErrorClass};
use sha2::{Digest as _, Sha256, Sha512};

use crate::xml::{Piece, pieces};

/// What a metalink says of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metalink {
    size: u64,
    sha256: Option<String>,
    sha512: Option<String>,
    /// Where it is, best first.
    pub(crate) urls: Vec<String>,
}

/// A metalink leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetalinkError {
    /// Not XML.
    #[error("the metalink is not well-formed: Document must begin with an element")]
    NotXml,
    /// It does not know the file.
    #[error("No <file name='{0}'> found")]
    NoFile(String),
    /// It says nothing of the size.
    #[error("No <size> element found or it is zero")]
    NoSize,
    /// It has no checksum that is strong enough.
    #[error("No <verification> element with known <hash type=> found")]
    NoHash,
    /// A checksum is none.
    #[error("Invalid hash digest for {0}")]
    InvalidHash(&'static str),
    /// It names no server.
    #[error("No <url method='http'> elements found")]
    NoUrl,
    /// The file has another size.
    #[error("Expected size is {expected} bytes but content is {actual} bytes")]
    OtherSize {
        /// What the metalink says.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The file hashes to something else.
    #[error("Expected checksum is {expected} but actual is {actual}")]
    OtherHash {
        /// What the metalink says.
        expected: String,
        /// What came.
        actual: String,
    },
    /// No server has the file as the metalink describes it.
    #[error("Exhausted {tried} metalink targets, last error: {last}")]
    Exhausted {
        /// How many were asked.
        tried: usize,
        /// What went wrong with the last one.
        last: String,
    },
}

impl Classified for MetalinkError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Metalink {
    /// What `document` says of the file called `name`.
    pub(crate) fn parse(document: &str, name: &str) -> Result<Self, MetalinkError> {
        let pieces = pieces(document).ok_or(MetalinkError::NotXml)?;
        if !pieces.iter().any(|piece| matches!(piece, Piece::Open(..))) {
            return Err(MetalinkError::NotXml);
        }
        let ours = file_of(&pieces, name).ok_or_else(|| MetalinkError::NoFile(name.to_owned()))?;
        Self::from_pieces(ours).checked()
    }

    fn from_pieces(pieces: &[Piece<'_>]) -> Self {
        let mut metalink = Self::default();
        let mut urls: Vec<(u32, String)> = Vec::new();
        let mut at: Option<(&str, &[(&str, String)])> = None;
        for piece in pieces {
            match piece {
                Piece::Open(name, attributes) => at = Some((name, attributes)),
                Piece::Close(_) => at = None,
                Piece::Text(text) => match at {
                    Some(("size", _)) => metalink.size = text.trim().parse().unwrap_or(0),
                    Some(("hash", attributes)) => match attribute(attributes, "type") {
                        Some("sha256") => metalink.sha256 = Some(text.trim().to_owned()),
                        Some("sha512") => metalink.sha512 = Some(text.trim().to_owned()),
                        _ => {}
                    },
                    Some(("url", attributes)) => {
                        let protocol = attribute(attributes, "protocol");
                        let preference = attribute(attributes, "preference");
                        if matches!(protocol, Some("http" | "https")) {
                            let rank = preference.and_then(|text| text.parse().ok());
                            urls.push((rank.unwrap_or(0), text.trim().to_owned()));
                        }
                    }
                    _ => {}
                },
            }
        }
        // Sorting keeps the order of those that are as good.
        urls.sort_by_key(|(preference, _)| std::cmp::Reverse(*preference));
        metalink.urls = urls.into_iter().map(|(_, url)| url).collect();
        metalink
    }

    fn checked(self) -> Result<Self, MetalinkError> {
        if self.size == 0 {
            return Err(MetalinkError::NoSize);
        }
        if self.sha256.is_none() && self.sha512.is_none() {
            return Err(MetalinkError::NoHash);
        }
        for (name, hash, length) in [("sha256", &self.sha256, 64), ("sha512", &self.sha512, 128)] {
            let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let valid = |hash: &String| hash.len() == length && hash.bytes().all(digit);
            if hash.as_ref().is_some_and(|hash| !valid(hash)) {
                return Err(MetalinkError::InvalidHash(name));
            }
        }
        if self.urls.is_empty() {
            return Err(MetalinkError::NoUrl);
        }
        Ok(self)
    }

    /// Whether these are the bytes of the file.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), MetalinkError> {
        let actual = bytes.len() as u64;
        if actual != self.size {
            let expected = self.size;
            return Err(MetalinkError::OtherSize { expected, actual });
        }
        let of512 = self.sha512.as_ref();
        compare(of512, || hex::encode(Sha512::digest(bytes)))?;
        compare(self.sha256.as_ref(), || hex::encode(Sha256::digest(bytes)))
    }
}

fn compare(expected: Option<&String>, actual: impl Fn() -> String) -> Result<(), MetalinkError> {
    match expected {
        Some(expected) if *expected != actual() => Err(MetalinkError::OtherHash {
            expected: expected.clone(),
            actual: actual(),
        }),
        _ => Ok(()),
    }
}

fn attribute<'a>(attributes: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(key, _)| *key == name)?;
    Some(&found.1)
}

/// What stands within the element `file` of that name, which must be in `metalink/files`.
fn file_of<'p, 'd>(pieces: &'p [Piece<'d>], name: &str) -> Option<&'p [Piece<'d>]> {
    let mut path: Vec<&str> = Vec::new();
    let mut begin = None;
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Open(element, attributes) => {
                let wanted = *element == "file" && path == ["metalink", "files"];
                if wanted && attribute(attributes, "name") == Some(name) {
                    begin = begin.or(Some(place + 1));
                }
                path.push(element);
            }
            Piece::Close(_) => {
                path.pop();
                if let Some(begin) = begin
                    && path.len() == 2
                {
                    return Some(&pieces[begin..place]);
                }
            }
            Piece::Text(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"hello";
    /// Of `CONTENT`, by `sha256sum`.
    const SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn document(size: &str, hash: &str, urls: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<metalink><other><file name=\"summary\"/></other><files>\
             <file name=\"else\"><size>1</size></file><file name=\"summary\">{size}<verification>\
             <hash type=\"md5\">x</hash>{hash}</verification><resources>{urls}</resources></file></files>\
             </metalink>"
        )
    }

    fn good() -> [String; 3] {
        let url = |preference: u32| {
            format!(
                "<url protocol=\"http\" preference=\"{preference}\">http://h{preference}/summary</url>"
            )
        };
        [
            "<size>5</size>".to_owned(),
            format!("<hash type=\"sha256\">{SHA256}</hash>"),
            format!("{}{}<url protocol=\"ftp\">ftp://h</url>", url(1), url(9)),
        ]
    }

    #[test]
    fn the_best_server_comes_first() {
        let [size, hash, urls] = good();
        let metalink = Metalink::parse(&document(&size, &hash, &urls), "summary").unwrap();
        assert_eq!(metalink.urls, ["http://h9/summary", "http://h1/summary"]);
        assert_eq!(metalink.check(CONTENT), Ok(()));
        assert!(matches!(
            metalink.check(b"hell"),
            Err(MetalinkError::OtherSize { .. })
        ));
        assert!(matches!(
            metalink.check(b"hellO"),
            Err(MetalinkError::OtherHash { .. })
        ));
    }

    #[test]
    fn what_is_missing_is_named() {
        let [size, hash, urls] = good();
        let parse = |size: &str, hash: &str, urls: &str| {
            Metalink::parse(&document(size, hash, urls), "summary").unwrap_err()
        };
        assert_eq!(parse("", &hash, &urls), MetalinkError::NoSize);
        assert_eq!(parse(&size, "", &urls), MetalinkError::NoHash);
        assert_eq!(parse(&size, &hash, ""), MetalinkError::NoUrl);
        let bacon = "<hash type=\"sha512\">bacon</hash>";
        assert_eq!(
            parse(&size, bacon, &urls),
            MetalinkError::InvalidHash("sha512")
        );
        let other = Metalink::parse(&document(&size, &hash, &urls), "config").unwrap_err();
        assert_eq!(other, MetalinkError::NoFile("config".to_owned()));
        assert_eq!(
            Metalink::parse("bacon\n", "summary"),
            Err(MetalinkError::NotXml)
        );
    }
}
