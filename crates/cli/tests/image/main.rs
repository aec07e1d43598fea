//! `bootroot image`, from images that are made here to the real `ostree`.

mod bench;
mod interrupted;
mod refused;
mod shown;
mod slow_server;
mod stored;
#[path = "../support/mod.rs"]
mod support;
