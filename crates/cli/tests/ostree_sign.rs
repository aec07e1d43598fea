//! Verbs of `bootroot ostree` that sign and verify, beside the real `ostree` and `gpg`, in both directions.

mod support;
