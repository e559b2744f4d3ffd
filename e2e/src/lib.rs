//! A whole Kubernetes on one machine, driven from Rust, and the tests that run on it.
//!
//! [`binaries`] builds the programs once, [`cluster`] starts and stops them, [`image`] packs a program into an image
//! without a container engine. [`access`] reaches our own cluster or one that the user names, [`images`] packs the
//! project's programs, [`installation`] brings all into the cluster, and [`demo`] shows it.

pub mod access;
pub mod binaries;
pub mod cluster;
pub mod command;
pub mod demo;
pub mod forward;
pub mod image;
pub mod images;
pub mod installation;
