//! The `ostler-e2e` program.
fn main() {}
