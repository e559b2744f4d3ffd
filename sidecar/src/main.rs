//! The `ostler-sidecar` program.
fn main() {}
