//! HTTP: connections, what is sent along with requests, and what can go wrong.

mod agent;
mod body;
pub(crate) mod date;
mod line;
mod problem;

pub(crate) use agent::Access;
pub use agent::Network;
pub(crate) use body::{Answer, Body};
pub(crate) use line::{Line, Validators};
pub use problem::Problem;
