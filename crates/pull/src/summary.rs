//! The summary of a remote, from the network or from the cache, with its signatures verified.

use ostree_format::limits::MAX_METADATA_SIZE;
use progress::Interrupt;
use std::sync::atomic::AtomicU64;

use ostree::Repo;

use crate::fetcher::{Fetcher, Got, Small};
use crate::http::{Access, Line, Validators};
use crate::location::Location;
use crate::places::Places;
use crate::{Cache, Error, Remote, Surroundings, Verify, cookies};

const SUMMARY: &str = "summary";
const SIGNATURES: &str = "summary.sig";

/// A summary, whose signatures are as good as is asked for.
#[derive(Debug, Clone, Default)]
pub struct FetchedSummary {
    /// The bytes of `summary`; `None` when the remote has none.
    pub summary: Option<Vec<u8>>,
    /// The bytes of `summary.sig`, if there is one.
    pub signatures: Option<Vec<u8>>,
}

/// Fetch the summary of `remote`, as `ostree remote summary` does. Files that the remote's configuration
/// names lie below `root`.
///
/// # Errors
/// [`Error`].
pub fn fetch_summary(
    repo: &Repo,
    remote: &Remote,
    surroundings: Surroundings<'_>,
    interrupt: &Interrupt,
) -> Result<FetchedSummary, Error> {
    let Surroundings { network, root, .. } = surroundings;
    let jar = cookies::list(repo.dir(), remote.name())?;
    let access = Access::new(network, remote, jar, root)?;
    let received = AtomicU64::new(0);
    let fetcher = Fetcher::new(access, network, root, interrupt, &received);
    let line = fetcher.line();
    let places = Places::find(&fetcher, &line, remote, None)?;
    let source = SummarySource {
        fetcher: &fetcher,
        line: &line,
        places: &places,
        cache: surroundings.cache,
        remote,
        verify: surroundings.verify,
        refuse_invalid_cache: false,
    };
    source.fetch()
}

/// Where a summary is looked for.
pub(crate) struct SummarySource<'a> {
    pub(crate) fetcher: &'a Fetcher<'a>,
    pub(crate) line: &'a Line,
    pub(crate) places: &'a Places,
    pub(crate) cache: Option<&'a Cache>,
    pub(crate) remote: &'a Remote,
    pub(crate) verify: &'a dyn Verify,
    pub(crate) refuse_invalid_cache: bool,
}

/// One of the two files.
#[derive(Debug, Default)]
struct Copy {
    small: Small,
    cached: bool,
}

impl SummarySource<'_> {
    pub(crate) fn fetch(&self) -> Result<FetchedSummary, Error> {
        let signatures = self.signatures()?;
        let mut summary = self.summary(signatures.as_ref())?;
        let Some(copy) = &mut summary else {
            if self.verify.demands_summary() {
                return Err(Error::NoSignedSummary);
            }
            let signatures = signatures.map(|copy| copy.small.bytes);
            return Ok(FetchedSummary {
                summary: None,
                signatures,
            });
        };
        let signed = signatures.as_ref().map(|copy| &*copy.small.bytes);
        if let Err(refused) = self.verify.summary(&copy.small.bytes, signed) {
            if !copy.cached {
                return Err(refused.into());
            }
            *copy = self.instead_of_cached()?;
            self.verify.summary(&copy.small.bytes, signed)?;
        }
        self.remember(copy, signatures.as_ref())?;
        Ok(FetchedSummary {
            summary: summary.map(|copy| copy.small.bytes),
            signatures: signatures.map(|copy| copy.small.bytes),
        })
    }

    fn signatures(&self) -> Result<Option<Copy>, Error> {
        let name = format!("{}.sig", self.remote.name());
        self.file(SIGNATURES, &name)
    }

    /// A file of the remote, or the copy of it if that is still right.
    fn file(&self, path: &str, name: &str) -> Result<Option<Copy>, Error> {
        let known = self.cache.and_then(|cache| cache.validators(name));
        match self.get(path, known.as_ref())? {
            Got::Found(small) => Ok(Some(Copy {
                small,
                cached: false,
            })),
            Got::Absent => Ok(None),
            Got::NotModified => {
                let bytes = self.cached(name)?;
                let validators = known.unwrap_or_default();
                Ok(bytes.map(|bytes| Copy {
                    small: Small { bytes, validators },
                    cached: true,
                }))
            }
        }
    }

    fn get(&self, path: &str, known: Option<&Validators>) -> Result<Got, Error> {
        let places = &self.places.metadata;
        self.fetcher
            .optional(self.line, places, path, MAX_METADATA_SIZE, known)
    }

    fn cached(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self
            .cache
            .map(|cache| cache.load(name))
            .transpose()?
            .flatten())
    }

    /// The summary; the copy of it without asking, when its signatures are still the same.
    fn summary(&self, signatures: Option<&Copy>) -> Result<Option<Copy>, Error> {
        if let Some(bytes) = &self.places.summary {
            let small = Small {
                bytes: bytes.clone(),
                ..Small::default()
            };
            return Ok(Some(Copy {
                small,
                cached: false,
            }));
        }
        if let Some(signatures) = signatures
            && let Some(bytes) = self.of_same_signatures(signatures)?
        {
            let small = Small {
                bytes,
                ..Small::default()
            };
            return Ok(Some(Copy {
                small,
                cached: true,
            }));
        }
        self.file(SUMMARY, self.remote.name())
    }

    fn of_same_signatures(&self, signatures: &Copy) -> Result<Option<Vec<u8>>, Error> {
        let name = format!("{}.sig", self.remote.name());
        if !signatures.cached && self.cached(&name)?.as_ref() != Some(&signatures.small.bytes) {
            return Ok(None);
        }
        let summary = self.cached(self.remote.name())?;
        if let (None, Some(cache)) = (&summary, self.cache) {
            // Signatures without what they sign are of no use.
            cache.remove(&name)?;
        }
        Ok(summary)
    }

    /// The copy does not fit its signatures: the whole file, whatever the copy is known by.
    fn instead_of_cached(&self) -> Result<Copy, Error> {
        if self.refuse_invalid_cache {
            return Err(Error::InvalidCache(self.remote.name().to_owned()));
        }
        tracing::debug!(remote = self.remote.name(), "cached summary is invalid");
        match self.get(SUMMARY, None)? {
            Got::Found(small) => Ok(Copy {
                small,
                cached: false,
            }),
            Got::NotModified | Got::Absent => Err(Error::NoSignedSummary),
        }
    }

    /// Summaries without signatures are not kept: nothing would tell whether they are old.
    fn remember(&self, summary: &Copy, signatures: Option<&Copy>) -> Result<(), Error> {
        let (Some(cache), Some(signatures)) = (self.cache, signatures) else {
            return Ok(());
        };
        let local = matches!(self.places.metadata.first(), Some(Location::Dir(_)));
        if summary.cached || self.places.summary.is_some() || local {
            return Ok(());
        }
        cache.store(self.remote.name(), &summary.small)?;
        cache.store(&format!("{}.sig", self.remote.name()), &signatures.small)?;
        Ok(())
    }
}
