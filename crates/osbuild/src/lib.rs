//! Stages of osbuild: what they are asked, as values.
//!
//! A stage is a program that osbuild runs in a sandbox. It finds its arguments as a JSON document and leaves what it
//! has to tell as another one. Nothing here deploys or writes anything: [`DeployStage`] and [`EncapsulateStage`] say what
//! is wanted, and the program hands that to the host.
//!
//! Source: osbuild's documentation of stages and of these two, and how osbuild calls them.

mod arguments;
mod commits;
mod deploy;
mod encapsulate;
mod mounts;

pub use arguments::{Arguments, Input, InputData, InvalidArguments};
pub use commits::Commits;
pub use deploy::{
    DEPLOY_STAGE, DeployOptions, DeploySource, DeployStage, InvalidDeployStage, RootFs,
};
pub use encapsulate::{
    ENCAPSULATE_STAGE, EncapsulateOptions, EncapsulateStage, InvalidEncapsulateStage,
};
pub use mounts::{MountError, Mounts};
