//! The OSTree repository on disk: objects, refs, transactions, locks.
