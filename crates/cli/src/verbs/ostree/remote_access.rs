//! How the verbs that ask a remote reach it, and whose signatures they trust.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use ca_roots::CaRoots;
use ostree::Repo;
use ostree_format::Checksum;
use pull::{Cache, Network, Refused, Remote, Surroundings, Verify};
use rustix::fs::CWD;
use trust::{Policy, RemoteTrust};

use super::version::LIKE;
use crate::environment;
use crate::outcome::Failure;
use crate::place::{Place, open_dir};

/// How a remote is reached.
pub(crate) struct RemoteAccess {
    root: OwnedFd,
    pub(crate) network: Network,
    cache: Option<Cache>,
    verifier: Verifier,
}

impl RemoteAccess {
    /// For `remote` of `repo`, which is at `place`; summaries are kept in `cache_dir`, or else in the
    /// repository. A repository that is named by its path has no policy.
    pub(crate) fn new(
        place: &Place,
        repo: &Repo,
        remote: &Remote,
        cache_dir: Option<&Path>,
    ) -> Result<Self, Failure> {
        let trust = remote.refs_of().map(|name| {
            let stores = place.key_stores()?;
            Ok::<_, Failure>(RemoteTrust::of(repo, &name, &stores)?)
        });
        Self::trusting(repo, trust.transpose()?, cache_dir)
    }

    /// With these keys and this policy; `None` asks for no signatures.
    pub(crate) fn trusting(
        repo: &Repo,
        trust: Option<RemoteTrust>,
        cache_dir: Option<&Path>,
    ) -> Result<Self, Failure> {
        let root = open_dir("the root directory", Path::new("/"))?;
        // Some servers give out only what they think that the client understands.
        let mut network = Network::new(&format!("libostree/{LIKE}"));
        network.roots = CaRoots::system(root.as_fd(), environment::ca_bundle().as_deref())?;
        network.now = environment::now();
        let cache = match cache_dir {
            Some(path) => Some(Cache::at(CWD, path)?),
            None if environment::skips_summary_cache() => None,
            None => Some(Cache::of(repo)?),
        };
        Ok(Self {
            verifier: Verifier {
                trust,
                now: environment::now(),
            },
            root,
            network,
            cache,
        })
    }

    pub(crate) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            network: &self.network,
            root: self.root.as_fd(),
            cache: self.cache.as_ref(),
            verify: &self.verifier,
        }
    }

    /// The keys and the policy of the remote.
    pub(crate) const fn trust(&self) -> Option<&RemoteTrust> {
        self.verifier.trust.as_ref()
    }
}

/// Verifies by the policy of a remote, if there is one.
struct Verifier {
    trust: Option<RemoteTrust>,
    now: u64,
}

impl Verifier {
    fn policy(&self) -> Option<&Policy> {
        self.trust.as_ref().map(RemoteTrust::policy)
    }
}

impl Verify for Verifier {
    fn demands_summary(&self) -> bool {
        self.policy().is_some_and(Policy::verifies_summary)
    }

    fn summary(&self, summary: &[u8], signatures: Option<&[u8]>) -> Result<(), Refused> {
        let Some(trust) = &self.trust else {
            return Ok(());
        };
        let verdict = trust.verify_summary(summary, signatures, self.now);
        verdict.map(drop).map_err(|error| Refused(Box::new(error)))
    }

    fn commit(
        &self,
        checksum: &Checksum,
        commit: &[u8],
        detached: Option<&[u8]>,
    ) -> Result<(), Refused> {
        let Some(trust) = &self.trust else {
            return Ok(());
        };
        let verdict = trust.verify_commit(checksum, commit, detached, self.now);
        verdict.map(drop).map_err(|error| Refused(Box::new(error)))
    }
}

/// A number of seconds that an option gives; a negative one is not given.
pub(crate) fn seconds(option: i64) -> Option<Duration> {
    u64::try_from(option)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}
