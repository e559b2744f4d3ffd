//! The `ostler-operator` program.
fn main() {}
