//! An encoder-decoder transformer of the BART lineage as values: what the forward passes compute, without a family's
//! name.

/// The dimensions of one stack of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) feed_forward: usize,
}

/// Where a sublayer is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NormPlacement {
    /// What goes into it ("pre-norm").
    Before,
    /// The sum of what went in and came out ("post-norm").
    After,
}

/// Where the vector of a position comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Positions {
    /// Sines and cosines in halves, as XLM and Marian have them; the file's own table wins.
    Sinusoids,
    /// Sines and cosines as tensor2tensor and fairseq have them, of the position plus [`POSITION_OFFSET`].
    OffsetSinusoids,
    /// A learned table whose first [`POSITION_OFFSET`] rows are not used.
    Learned,
}

/// What fairseq adds to positions: its padding takes the number 1, and numbering starts after it.
pub(super) const POSITION_OFFSET: usize = 2;

/// The function between the two linear layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Gelu,
    /// Gelu by the hyperbolic tangent.
    GeluTanh,
    Relu,
    Relu6,
    Silu,
    Sigmoid,
    Mish,
}

/// The dimensions and switches of a model.
#[derive(Debug, Clone)]
pub(super) struct Architecture {
    /// The numbers in the state of one token.
    pub(super) width: usize,
    pub(super) source_vocabulary: usize,
    pub(super) target_vocabulary: usize,
    pub(super) encoder: Stack,
    pub(super) decoder: Stack,
    /// The longest sequence in tokens.
    pub(super) longest: usize,
    pub(super) positions: Positions,
    pub(super) norm_placement: NormPlacement,
    /// Whether embeddings with their positions are normalised.
    pub(super) normalizes_embeddings: bool,
    /// Whether each stack ends with a layer norm.
    pub(super) has_last_norm: bool,
    pub(super) activation: Activation,
    /// What embeddings are multiplied by.
    pub(super) embedding_scale: f32,
    /// Whether encoder and decoder have one vocabulary, and so one embedding.
    pub(super) shares_embeddings: bool,
    /// Whether the output layer is the decoder's embedding.
    pub(super) ties_output: bool,
    /// Whether a bias may be added to the logits.
    pub(super) has_output_bias: bool,
}

/// The numbers of a line of memory.
const LINE: usize = 16;

impl Architecture {
    /// The numbers of a row of a cache: a token's keys, its values, and a line that nobody reads. Rows of 4 KiB, which
    /// are common, would all fall on the same few lines of a processor's cache.
    pub(super) fn cache_row(&self) -> usize {
        (2 * self.width).next_multiple_of(LINE) + LINE
    }
}

/// PyTorch's default, which all of these families take.
pub(super) const LAYER_NORM_EPSILON: f64 = 1e-5;
