//! Where a remote's files are: at its address, on mirrors, or where a metalink says.

use crate::fetcher::Fetcher;
use crate::http::{Line, Problem};
use crate::location::Location;
use crate::metalink::{Metalink, MetalinkError};
use crate::{Error, Remote};
use ostree_format::limits::MAX_METADATA_SIZE;

const MIRROR_LIST: &str = "mirrorlist=";

/// Where a remote's files are.
#[derive(Debug)]
pub(crate) struct Places {
    /// What tells about commits: summary, refs, detached metadata.
    pub(crate) metadata: Vec<Location>,
    /// Objects.
    pub(crate) content: Vec<Location>,
    /// The summary, when a metalink led to it.
    pub(crate) summary: Option<Vec<u8>>,
}

impl Places {
    /// Of `remote`, or at `url` instead.
    pub(crate) fn find(
        fetcher: &Fetcher<'_>,
        line: &Line,
        remote: &Remote,
        url: Option<&str>,
    ) -> Result<Self, Error> {
        let metalink = remote.get("metalink");
        let (metadata, summary) = match metalink {
            Some(metalink) => {
                let (place, summary) = follow_metalink(fetcher, line, metalink)?;
                (vec![place], Some(summary))
            }
            None => (
                mirrors(fetcher, line, url.map_or_else(|| remote.url(), Ok)?)?,
                None,
            ),
        };
        let content = match remote.get("contenturl") {
            Some(content) if url.is_none() || metalink.is_some() => {
                mirrors(fetcher, line, content)?
            }
            _ => metadata.clone(),
        };
        Ok(Self {
            metadata,
            content,
            summary,
        })
    }
}

/// The one place of an address, or those of a list of mirrors.
fn mirrors(fetcher: &Fetcher<'_>, line: &Line, url: &str) -> Result<Vec<Location>, Error> {
    let Some(list) = url.strip_prefix(MIRROR_LIST) else {
        return Ok(vec![Location::parse(url)?]);
    };
    let place = [Location::parse(list)?];
    let text = fetcher.required(line, &place, "", MAX_METADATA_SIZE)?;
    let text = String::from_utf8_lossy(&text);
    let mut found = Vec::new();
    for text in text
        .lines()
        .filter(|text| !text.is_empty() && !text.starts_with('#'))
    {
        // Lists hold addresses of servers; what cannot be used is passed over.
        let Ok(mirror @ Location::Http(_)) = Location::parse(text.trim()) else {
            tracing::debug!(text, "not a mirror");
            continue;
        };
        // The first one is asked for everything, so it had better work.
        if !found.is_empty() || is_alive(fetcher, line, &mirror)? {
            found.push(mirror);
        }
    }
    if found.is_empty() {
        return Err(Error::NoMirrors(place[0].shown("")));
    }
    Ok(found)
}

fn is_alive(fetcher: &Fetcher<'_>, line: &Line, mirror: &Location) -> Result<bool, Error> {
    let place = std::slice::from_ref(mirror);
    match fetcher.required(line, place, "config", MAX_METADATA_SIZE) {
        Ok(_) => Ok(true),
        Err(Error::Fetch { problem, .. }) => {
            tracing::debug!(?mirror, %problem, "mirror does not work");
            Ok(false)
        }
        Err(other) => Err(other),
    }
}

/// Where the summary is that a metalink describes, and its bytes.
fn follow_metalink(
    fetcher: &Fetcher<'_>,
    line: &Line,
    url: &str,
) -> Result<(Location, Vec<u8>), Error> {
    let place = [Location::parse(url)?];
    let document = fetcher.required(line, &place, "", MAX_METADATA_SIZE)?;
    let metalink = Metalink::parse(&String::from_utf8_lossy(&document), "summary")?;
    let mut last = String::new();
    for target in &metalink.urls {
        match try_target(fetcher, line, &metalink, target) {
            Ok(found) => return Ok(found),
            Err(Error::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => last = error.to_string(),
        }
    }
    let tried = metalink.urls.len();
    Err(MetalinkError::Exhausted { tried, last }.into())
}

fn try_target(
    fetcher: &Fetcher<'_>,
    line: &Line,
    metalink: &Metalink,
    target: &str,
) -> Result<(Location, Vec<u8>), Error> {
    let Location::Http(url) = Location::parse(target)? else {
        let url = target.to_owned();
        let problem = Problem::Protocol("metalinks lead to servers".to_owned());
        return Err(Error::Fetch { url, problem });
    };
    let place = [Location::Http(url.clone())];
    let summary = fetcher.required(line, &place, "", MAX_METADATA_SIZE)?;
    metalink.check(&summary)?;
    Ok((Location::Http(url.parent()), summary))
}
