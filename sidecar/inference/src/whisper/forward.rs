//! The forward pass as the rest of Whisper sees it: numbers and tokens in, numbers out.
//!
//! Rules, searches, the temperature ladder, segments and alignment stand on these two traits alone, so that an
//! implementation owns its number formats, its layouts of keys and values and its threads.

use ostler_kernels::Team;

use crate::engine::{Control, EngineError};

/// A model's weights, ready to compute.
pub(super) trait Forward: Send + Sync {
    /// A window's encoder states in the form in which the decoder reads them: keys and values of each layer.
    type Memory: Send + Sync;
    /// Rows of tokens that are being continued.
    type Session<'a>: Session
    where
        Self: 'a;

    /// The threads that share the work of a job.
    fn team(&self) -> &Team;

    /// How many tokens there are, and so logits a row.
    fn vocabulary(&self) -> usize;

    /// Bytes of one window's memory and of `rows` rows on it that are as long as a row can be.
    fn window_bytes(&self, rows: usize) -> u64;

    /// The most bytes that encoding takes beside its result.
    fn encode_bytes(&self) -> u64;

    /// The most bytes that feeding `rows` rows on each of `windows` takes beside what their windows take.
    fn feed_bytes(&self, windows: usize, rows: usize) -> u64;

    /// Encodes a log-mel spectrogram, band by band, of an even number of frames: as many as the model has twice
    /// positions for, or fewer.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so, which is asked at every layer.
    fn encode(&self, mel: &[f32], control: &Control) -> Result<Self::Memory, EngineError>;

    /// Begins a row without tokens for each of `memories`, which may repeat. No row will hold more tokens than
    /// `positions`.
    ///
    /// # Errors
    /// Where the computation fails.
    fn session<'a>(
        &'a self,
        memories: &[&'a Self::Memory],
        positions: usize,
    ) -> Result<Self::Session<'a>, EngineError>;

    /// Reads all of `tokens` and returns how each of `heads` looks at the window while it does: heads x tokens x
    /// encoder positions, each row of positions adding up to 1.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so.
    fn align(
        &self,
        memory: &Self::Memory,
        tokens: &[u32],
        heads: &[AlignmentHead],
        control: &Control,
    ) -> Result<Vec<f32>, EngineError>;
}

/// Rows of tokens that are being continued, with what the decoder remembers of each.
pub(super) trait Session: Sized {
    /// Appends to each row its tokens, as many for every row and at least one, and puts logits in the place of what
    /// `logits` held: for each row, for each place in `wanted` (counted from the first of these tokens), one for each
    /// token of the vocabulary.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so.
    fn feed(
        &mut self,
        tokens: &[&[u32]],
        wanted: &[usize],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError>;

    /// Makes row `i` the continuation of what was row `parents[i]`. Rows may repeat and vanish.
    ///
    /// # Errors
    /// Where the computation fails.
    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError>;

    /// A session of its own whose row `i` is what row `rows[i]` is now.
    ///
    /// # Errors
    /// Where the computation fails.
    fn fork(&self, rows: &[usize]) -> Result<Self, EngineError>;
}

/// A cross-attention head whose weights follow the speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlignmentHead {
    /// Its layer of the decoder.
    pub(super) layer: usize,
    /// Its number in the layer.
    pub(super) head: usize,
}
