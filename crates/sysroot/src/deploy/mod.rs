//! Deploying a commit.

mod apply;
mod commit;
mod error;
mod etc;
mod image;
mod plan;
mod request;
mod select;
mod space;
mod var;

pub use error::{DeployError, MergeError, UnfitCommit};
pub(crate) use plan::Basis;
pub use plan::DeployPlan;
pub use request::{ArgsBase, DeployRequest, KernelArgsEdit, MergeFrom, Retain};
pub(crate) use select::{Rules, select};
pub use space::SpacePlan;
pub use var::VarPlan;
pub(crate) use var::VarStep;
