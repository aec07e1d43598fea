//! Stateroots, deployments, boot entries, staging.
