//! The seam between a model's arithmetic and everything after the logits: tokens go in and numbers come out, whatever
//! computes them.

use crate::engine::{Control, EngineError};
use crate::generate::Decoder;

/// The arithmetic of one model. Many callers share it.
pub(super) trait Forward: Send + Sync {
    /// The bytes of a number in the decoder's caches.
    fn cached_number_bytes(&self) -> usize;

    /// Encodes sentences of tokens, each of its own length and none seeing another, and starts to decode: the decoder
    /// has one row for each sentence, in their order.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so, and where the computation fails.
    fn start<'a>(
        &'a self,
        sentences: &[&[u32]],
        control: &Control,
    ) -> Result<Box<dyn Decoder + 'a>, EngineError>;
}
