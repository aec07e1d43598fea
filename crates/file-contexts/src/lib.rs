//! SELinux labels from a policy's file_contexts.
