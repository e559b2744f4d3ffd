//! The `ostler-test-hub` program.
fn main() {}
