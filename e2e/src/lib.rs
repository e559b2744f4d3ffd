//! A whole Kubernetes on one machine, driven from Rust, and the tests that run on it.
