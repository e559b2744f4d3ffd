//! What classifiers and sentence encoders of the BERT family share: dimensions, tokens, batches, layers.

mod batches;
mod config;
mod network;
mod tokens;

use std::sync::Arc;

pub use batches::in_batches;
pub use config::{Architecture, Config, SUPPORTED};
pub use network::Network;
pub use tokens::Tokens;

use crate::processor::{Precision, Processor};

/// The most tokens that are computed at once, unless one text alone has more.
pub const MAX_BATCH_TOKENS: usize = 1024;
/// The most texts of a job.
pub const MAX_TEXTS: usize = 4096;

/// What an encoder is computed with.
#[derive(Clone)]
pub struct Computation {
    /// Kernels and threads.
    pub processor: Arc<Processor>,
    /// The number formats.
    pub precision: Precision,
}

#[cfg(test)]
mod tests;
