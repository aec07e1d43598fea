//! Pulling from servers and repositories: what comes, what is refused, and what is left behind.

mod choices;
mod deltas;
mod faults;
mod modes;
mod places;
mod scene;
mod server;
mod trust;
