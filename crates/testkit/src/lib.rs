//! What tests share: real tools, golden data, scratch file systems.
