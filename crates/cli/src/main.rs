//! The bootroot command.
fn main() {}
