//! RPM's database in SQLite: the table `Packages` has the header of every package.
//!
//! Source: RPM's documentation ("RPM Package format", "Header", "Tags").

use super::versions::of_rpm;
use super::{Files, MAX_FILE, Package, PackageVersions, PackagesError, sqlite, without_release};

/// Where it is.
const PLACES: [&str; 3] = [
    "usr/share/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/rpm/rpmdb.sqlite",
];

/// Largest database of which only the versions are wanted.
const MAX_VERSIONS: u64 = 256 * 1024 * 1024;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCHITECTURE: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const CHANGELOG_TIME: u32 = 1080;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;

/// Types of values.
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;

/// The installed packages; none where there is no such database.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method alone is not general enough in its lifetimes"
)]
pub(super) fn packages(tree: &Files<'_>) -> Result<Option<Vec<Package>>, PackagesError> {
    each(tree, MAX_FILE, |header| header.package())
}

/// The installed packages with their versions; none where there is no such database.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method alone is not general enough in its lifetimes"
)]
pub(super) fn versions(tree: &Files<'_>) -> Result<Option<PackageVersions>, PackagesError> {
    let found: Option<Vec<_>> = each(tree, MAX_VERSIONS, |header| header.version())?;
    Ok(found.map(|found| found.into_iter().collect()))
}

/// What `read` makes of every header in a database of at most `limit` bytes.
fn each<T>(
    tree: &Files<'_>,
    limit: u64,
    read: impl Fn(&Header<'_>) -> Option<T>,
) -> Result<Option<Vec<T>>, PackagesError> {
    for place in PLACES {
        let Some(database) = tree.read_at_most(place, limit)? else {
            continue;
        };
        let journal = format!("{place}-wal");
        if tree
            .read(&journal)?
            .is_some_and(|journal| !journal.is_empty())
        {
            return Err(PackagesError::NotClosed(journal));
        }
        let malformed = |reason| PackagesError::Malformed {
            path: place.to_owned(),
            reason,
        };
        let headers = sqlite::blobs(&database, "Packages").map_err(malformed)?;
        let parsed = headers.iter().map(|header| {
            let parsed = Header::parse(header).and_then(|header| read(&header));
            parsed.ok_or_else(|| malformed("a header is damaged"))
        });
        return parsed.collect::<Result<_, _>>().map(Some);
    }
    Ok(None)
}

/// A header: an index of tags, and the store of their values.
struct Header<'a> {
    index: &'a [[u8; 16]],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = word(bytes)?;
        let (size, rest) = word(rest)?;
        let length = usize::try_from(count).ok()?.checked_mul(16)?;
        let (index, rest) = rest.split_at_checked(length)?;
        Some(Self {
            index: index.as_chunks().0,
            store: rest.get(..usize::try_from(size).ok()?)?,
        })
    }

    fn package(&self) -> Option<Package> {
        let name = self.texts(NAME)?.into_iter().next()?;
        let source = self.texts(SOURCE_RPM)?.into_iter().next();
        let source = source.map(|source| without_release(source).to_owned());
        let changes = u32::try_from(self.numbers(CHANGELOG_TIME)?.len()).ok()?;
        Some(Package {
            // Keys, for example, have no source.
            source: source.unwrap_or_else(|| name.to_owned()),
            frequency: changes.max(1),
            files: self.files()?,
        })
    }

    fn version(&self) -> Option<(String, String)> {
        let text = |tag| Some(self.texts(tag)?.first().copied().unwrap_or_default());
        let epoch = self.numbers(EPOCH)?.first().map(ToString::to_string);
        let epoch = epoch.unwrap_or_default();
        let version = [&epoch, text(VERSION)?, text(RELEASE)?];
        Some(of_rpm(text(NAME)?, text(ARCHITECTURE)?, version))
    }

    fn files(&self) -> Option<Vec<String>> {
        let dirs = self.texts(DIR_NAMES)?;
        let names = self.texts(BASE_NAMES)?;
        let places = self.numbers(DIR_INDEXES)?;
        let path = |(name, place): (&&str, &u32)| {
            let dir = dirs.get(usize::try_from(*place).ok()?)?;
            Some(format!("{dir}{name}"))
        };
        names.iter().zip(&places).map(path).collect()
    }

    /// Type, count, and the store from the value on, of a tag that is there.
    fn value(&self, tag: u32) -> Option<Option<(u32, usize, &'a [u8])>> {
        let entry = self
            .index
            .iter()
            .find(|entry| word(*entry).is_some_and(|(found, _)| found == tag));
        let Some(entry) = entry else {
            return Some(None);
        };
        let (_, rest) = word(entry)?;
        let (kind, rest) = word(rest)?;
        let (offset, rest) = word(rest)?;
        let (count, _) = word(rest)?;
        let value = self.store.get(usize::try_from(offset).ok()?..)?;
        Some(Some((kind, usize::try_from(count).ok()?, value)))
    }

    /// The texts of a tag; none where it is not there.
    fn texts(&self, tag: u32) -> Option<Vec<&'a str>> {
        let Some((kind, count, value)) = self.value(tag)? else {
            return Some(Vec::new());
        };
        if !matches!(kind, STRING | STRING_ARRAY) {
            return None;
        }
        let texts: Vec<&str> = value
            .split(|byte| *byte == 0)
            .take(count)
            .map_while(|text| std::str::from_utf8(text).ok())
            .collect();
        (texts.len() == count).then_some(texts)
    }

    /// The numbers of a tag; none where it is not there.
    fn numbers(&self, tag: u32) -> Option<Vec<u32>> {
        let Some((kind, count, value)) = self.value(tag)? else {
            return Some(Vec::new());
        };
        let bytes = value.get(..count.checked_mul(4)?)?;
        let numbers = bytes.as_chunks().0.iter().copied().map(u32::from_be_bytes);
        (kind == INT32).then(|| numbers.collect())
    }
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*word), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_header_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0u8..8) {
            let mut header = vec![0, 0, 0, count, 0, 0, 0, 20];
            header.extend(bytes);
            drop(Header::parse(&header).and_then(|header| header.package()));
        }
    }
}
