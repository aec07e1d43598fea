//! HTTP: connections, what is sent along with requests, and what can go wrong.

mod agent;
mod body;
mod date;
mod line;
mod problem;

pub(crate) use agent::Access;
pub use agent::Network;
pub(crate) use body::Body;
pub(crate) use line::{Line, Validators};
pub use problem::Problem;
