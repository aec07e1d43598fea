//! Deployments on disk. Images are mounted, which root may.

mod crash;
mod lifecycle;
mod support;
