use std::fmt;

/// The counters of automatic boot assessment in the name of an entry file: `+LEFT-DONE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Boots that may still be tried.
    pub left: u64,
    /// Boots tried so far; `None` while it is not written, which means zero.
    pub done: Option<u64>,
}

/// The name of a boot entry file of libostree.
///
/// `ostree-N.conf` since libostree 2024.5, `ostree-N-STATEROOT.conf` before, both with optional
/// counters ([`Tries`]) before the suffix. `N` is the entry's version, the higher the earlier it boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryName {
    /// The entry's version, counted from one.
    pub number: u32,
    /// The stateroot, in names of the older form.
    pub stateroot: Option<String>,
    /// Boot counters.
    pub tries: Option<Tries>,
}

impl EntryName {
    /// The name of entry `number` in today's form without counters.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self {
            number,
            stateroot: None,
            tries: None,
        }
    }

    /// Whether libostree takes a file of this name for one of its entries.
    #[must_use]
    pub fn is_ours(name: &str) -> bool {
        name.starts_with("ostree-") && name.ends_with(".conf")
    }

    /// Read the parts of a name; `None` when it has another form (which [`Self::is_ours`] may still
    /// accept).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_prefix("ostree-")?.strip_suffix(".conf")?;
        let (stem, tries) = match stem.rsplit_once('+') {
            Some((stem, counters)) => (stem, Some(Tries::parse(counters)?)),
            None => (stem, None),
        };
        let (number, stateroot) = match stem.split_once('-') {
            Some((number, stateroot)) => (number, Some(stateroot.to_owned())),
            None => (stem, None),
        };
        let number = number.parse().ok()?;
        Some(Self {
            number,
            stateroot,
            tries,
        })
    }
}

impl Tries {
    /// The counters of an entry file, `None` when it has none or they are malformed: then the entry
    /// counts as good.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        let (_, counters) = name.rsplit_once('+')?;
        Self::parse(counters.strip_suffix(".conf").unwrap_or(counters))
    }

    fn parse(counters: &str) -> Option<Self> {
        let (left, done) = match counters.split_once('-') {
            Some((left, done)) => (left, Some(done)),
            None => (counters, None),
        };
        let number = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| text.parse().ok())
        };
        Some(Self {
            left: number(left).flatten()?,
            done: done
                .map(|text| number(text).flatten().ok_or(()))
                .transpose()
                .ok()?,
        })
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.left)?;
        self.done.map_or(Ok(()), |done| write!(f, "-{done}"))
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ostree-{}", self.number)?;
        if let Some(stateroot) = &self.stateroot {
            write!(f, "-{stateroot}")?;
        }
        if let Some(tries) = &self.tries {
            write!(f, "{tries}")?;
        }
        f.write_str(".conf")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_both_forms() {
        let new = EntryName::parse("ostree-2.conf").unwrap();
        assert_eq!(new, EntryName::new(2));
        let old = EntryName::parse("ostree-1-fedora-coreos+3-0.conf").unwrap();
        assert_eq!(
            (old.number, old.stateroot.as_deref()),
            (1, Some("fedora-coreos"))
        );
        assert_eq!(
            old.tries,
            Some(Tries {
                left: 3,
                done: Some(0)
            })
        );
        for name in [
            "ostree-2.conf",
            "ostree-1-os.conf",
            "ostree-3+2.conf",
            "ostree-3-os+2-1.conf",
        ] {
            assert_eq!(EntryName::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(EntryName::parse("fedora-2.conf"), None);
    }
}
