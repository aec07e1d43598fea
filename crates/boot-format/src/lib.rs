//! Boot Loader Specification entries, kernel arguments, boot link names.
