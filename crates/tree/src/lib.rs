//! A file tree in memory: overlay with whiteouts, and diff.
