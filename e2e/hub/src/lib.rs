//! A hub for tests and the demo that serves repositories from folders as huggingface.co does: revisions with their
//! files and digests, files with redirects to storage, ranges, tokens and the Hub's own error codes. Faults can be
//! scripted for each request, and every request is logged, so that a test can say what was asked and what was not.
//!
//! ```no_run
//! use ostler_test_hub::{Fault, On, TestHub};
//!
//! # async fn example() -> Result<(), ostler_test_hub::TestHubError> {
//! let hub = TestHub::start().await?;
//! let commit = hub.push("tiny/model", "main", [("config.json", "{}")])?;
//! hub.fault(On::file("config.json"), Fault::status(503).times(2));
//! println!("{} serves {commit}", hub.endpoint());
//! # Ok(())
//! # }
//! ```

mod answer;
mod body;
mod contents;
mod error;
mod fault;
mod hub;
mod log;
pub mod models;
mod repository;
mod route;
mod serve;

pub use contents::{Contents, Files};
pub use error::TestHubError;
pub use fault::{Fault, On};
pub use hub::TestHub;
pub use log::{LoggedRequest, Part};
