//! Deployments on disk: beside those of `ostree admin`, step by step; damaged, full, killed.

mod boot_partition;
mod config;
mod crash;
mod differential;
mod golden;
mod labels;
mod staging;
mod status;
mod support;
mod unlock;
