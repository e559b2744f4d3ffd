//! Prints the custom resource definitions as YAML.

fn main() {}
