//! The facade over a host's storage: one file is one use case.
