//! Fetching against the hub for tests, into caches on a real file system, by one and by many processes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod cache;
mod checking;
mod collecting;
mod disk;
mod downloads;
mod huggingface_hub;
mod killed;
mod processes;
mod random;
mod scrubbing;
mod support;
