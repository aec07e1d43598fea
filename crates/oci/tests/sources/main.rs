//! Images from every transport: made by the real tools, damaged on purpose, served by a real
//! registry and by one that misbehaves.

mod archives;
mod authentication;
mod faults;
mod layouts;
mod mirrors;
mod registries;
mod resuming;
mod scene;
mod server;
mod storage;
mod through_skopeo;
mod writers;
