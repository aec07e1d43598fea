//! Container image references, transports and registries.
