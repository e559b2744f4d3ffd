//! A whole Kubernetes on one machine, driven from Rust, and the tests that run on it.
//!
//! [`binaries`] builds the programs once, [`cluster`] starts and stops them, [`image`] packs a program into an image
//! without a container engine.

pub mod binaries;
pub mod cluster;
pub mod command;
pub mod image;
