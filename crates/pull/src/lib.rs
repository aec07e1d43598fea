//! Pulling commits from another repository: over HTTP from an archive, or from this machine.
//!
//! [`pull`] finds out what refs stand for, fetches the objects that are missing by several connections at
//! once, checks each against its name, and moves the refs last, in one transaction. Whoever verifies
//! signatures is handed in as a [`Verify`]; a commit that is refused brings nothing with it.
//!
//! What a pull that fails has fetched stays in the repository and its commits are marked as partial
//! (`state/COMMIT.commitpartial`), so that the next one goes on from there.
//!
//! Sources: `ostree-pull(1)`, `ostree.repo-config(5)`, and the behaviour of the `ostree` command, which the
//! tests compare with.

mod cache;
mod commits;
mod content;
pub mod cookies;
mod deltas;
mod error;
mod fetcher;
mod http;
mod location;
mod metalink;
mod options;
mod places;
mod pulling;
mod queue;
mod refs;
mod remote;
mod report;
mod summary;
mod trees;
mod verify;
mod xml;

pub use cache::Cache;
pub use error::Error;
pub use http::{Network, Problem};
pub use metalink::MetalinkError;
pub use options::{Options, WantedRef};
pub use pulling::{Surroundings, pull};
pub use remote::Remote;
pub use report::Report;
pub use summary::{FetchedSummary, fetch_summary};
pub use verify::{Refused, Unverified, Verify};
