//! The part of image names that a table is about.

use std::fmt;

/// `host[:port][/path][:tag|@digest]`, or `*.domain` for every host below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prefix {
    Name(String),
    /// The domain with the dot in front.
    Subdomains(String),
}

impl Prefix {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let has_scheme = text.contains("://");
        match text.strip_prefix('*') {
            Some(domain) if domain.starts_with('.') && !domain.contains(['*', '/', ':', '@']) => {
                Some(Self::Subdomains(domain.to_owned()))
            }
            None if !text.is_empty() && !has_scheme && !text.contains('*') => {
                Some(Self::Name(text.to_owned()))
            }
            _ => None,
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        matches!(self, Self::Subdomains(_))
    }

    /// How many bytes of an image's full name this stands for; none when it is not about that image.
    pub(super) fn matches(&self, name: &str) -> Option<usize> {
        let ends_at = |len: usize| {
            let next = name.as_bytes().get(len);
            next.is_none_or(|next| b":/@".contains(next)).then_some(len)
        };
        match self {
            Self::Name(prefix) => name.starts_with(prefix).then(|| ends_at(prefix.len()))?,
            Self::Subdomains(domain) => {
                let host = name.split(['/', ':', '@']).next()?;
                let is_below = host.ends_with(domain.as_str()) && host.len() > domain.len();
                is_below.then_some(host.len())
            }
        }
    }

    /// A longer prefix is more specific; any name more than a wildcard of the same length.
    pub(super) fn specificity(&self) -> (usize, bool) {
        match self {
            Self::Name(prefix) => (prefix.len(), true),
            Self::Subdomains(domain) => (domain.len() + 1, false),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(prefix) => f.write_str(prefix),
            Self::Subdomains(domain) => write!(f, "*{domain}"),
        }
    }
}
