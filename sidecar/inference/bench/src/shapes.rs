//! The work of the models that are measured, as [`Stage`]s: how much arithmetic, and how many bytes a step reads.

use crate::floor::{Operations, Stage};

/// Windows of 30 s in ten minutes.
pub const WINDOWS: usize = 20;
/// Tokens of text in a window.
pub const WINDOW_TOKENS: usize = 64;
/// Tokens of a sentence, its end included, and of its translation.
pub const SENTENCE_TOKENS: usize = 25;

/// The dimensions of an encoder and a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Layers of each side.
    pub layers: usize,
    /// Width of the states.
    pub width: usize,
    /// Width within a feed-forward.
    pub inner: usize,
    /// Tokens of the output.
    pub vocabulary: usize,
}

/// whisper-base: config.json of openai/whisper-base.
pub const WHISPER_BASE: Shape = Shape { layers: 6, width: 512, inner: 2048, vocabulary: 51_865 };
/// States of a window of 30 s.
const WHISPER_STATES: usize = 1500;
/// Mel bands, and the frames of a window: the first convolution goes over them three at a time.
const WHISPER_MEL: (usize, usize) = (80, 3000);
/// Width of a convolution.
const TAPS: usize = 3;

/// The size of Helsinki-NLP's opus-mt models: config.json of opus-mt-en-de, but for its vocabulary, which varies.
pub const OPUS_MT: Shape = Shape { layers: 6, width: 512, inner: 2048, vocabulary: 58_101 };

/// The number format of linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Bytes, and so what a window's states are remembered as; the encoder's first layer, attention and convolutions in
    /// bfloat16, as they are where it says so here.
    Int8,
    /// bfloat16 throughout.
    Bfloat16,
    /// float32 throughout.
    Float32,
}

impl Precision {
    fn bytes(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Bfloat16 => 2,
            Self::Float32 => 4,
        }
    }

    /// The format of what is not a weight.
    fn activations(self) -> Self {
        if self == Self::Int8 { Self::Bfloat16 } else { self }
    }

    /// Multiply-adds of linear layers as operations.
    fn linear(self, multiply_adds: usize) -> Operations {
        let operations = 2.0 * multiply_adds as f64;
        match self {
            Self::Int8 => Operations { int8: operations, ..Operations::default() },
            Self::Bfloat16 => Operations { bfloat16: operations, ..Operations::default() },
            Self::Float32 => Operations { float32: operations, ..Operations::default() },
        }
    }

    /// Multiply-adds among activations, of convolutions, and of the sensitive first layer.
    fn other(self, multiply_adds: usize) -> Operations {
        self.activations().linear(multiply_adds)
    }
}

impl std::ops::Add for Operations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            int8: self.int8 + other.int8,
            bfloat16: self.bfloat16 + other.bfloat16,
            float32: self.float32 + other.float32,
        }
    }
}

impl Shape {
    /// Weights of an encoder layer: queries, keys, values and output, then the feed-forward.
    fn encoder_layer(self) -> usize {
        4 * self.width * self.width + 2 * self.width * self.inner
    }

    /// Weights that a decoder step reads: a layer's self-attention, the queries and output of its cross-attention and
    /// its feed-forward, for all layers; then the output.
    fn decoder_step(self) -> usize {
        self.layers * (6 * self.width * self.width + 2 * self.width * self.inner)
            + self.width * self.vocabulary
    }

    /// Weights of all layers' keys and values of cross-attention.
    fn cross(self) -> usize {
        self.layers * 2 * self.width * self.width
    }

    /// The steps of a decoder over `rows` rows, whose keys and values of cross-attention are those of `texts` texts of
    /// `length` states in the format `memory`: everything a step reads, and what it computes.
    fn steps(
        self,
        precision: Precision,
        memory: Precision,
        steps: usize,
        rows: usize,
        [texts, length]: [usize; 2],
    ) -> Stage {
        let attention = 2 * self.layers * rows * length * self.width;
        let remembered = 2 * self.layers * texts * length * self.width;
        Stage {
            name: "decoder steps",
            times: steps,
            operations: precision.linear(rows * self.decoder_step()) + memory.linear(attention),
            bytes: (self.decoder_step() * precision.bytes() + remembered * memory.bytes()) as u64,
        }
    }
}

/// Transcribing windows of 30 s in batches with whisper-base: each window's encoder, keys and values, then one step for
/// each token of the longest text of a batch. The prompt is read in the step that gives the first token.
///
/// `batches` has, for each batch, its windows and its steps.
#[must_use]
pub fn whisper(precision: Precision, batches: &[(usize, usize)]) -> Vec<Stage> {
    let shape = WHISPER_BASE;
    let windows = batches.iter().map(|(windows, _)| windows).sum();
    let (bands, frames) = WHISPER_MEL;
    let convolutions = TAPS * shape.width * (bands * frames + shape.width * WHISPER_STATES);
    let mut stages = vec![
        Stage {
            name: "convolutions",
            times: windows,
            operations: precision.other(convolutions),
            bytes: (TAPS * shape.width * (bands + shape.width) * precision.activations().bytes()) as u64,
        },
        Stage {
            name: "encoder, linear",
            times: windows,
            // Small errors in the first layer grow through all others: it is not rounded to bytes.
            operations: precision.other(WHISPER_STATES * shape.encoder_layer())
                + precision.linear(WHISPER_STATES * (shape.layers - 1) * shape.encoder_layer()),
            bytes: (shape.layers * shape.encoder_layer() * precision.bytes()) as u64,
        },
        Stage {
            name: "encoder, attention",
            times: windows,
            operations: precision.other(2 * shape.layers * WHISPER_STATES * WHISPER_STATES * shape.width),
            bytes: 0,
        },
        Stage {
            name: "cross-attention, keys and values",
            times: windows,
            operations: precision.linear(WHISPER_STATES * shape.cross()),
            bytes: (shape.cross() * precision.bytes()) as u64,
        },
    ];
    stages.extend(batches.iter().map(|(windows, steps)| {
        shape.steps(precision, precision, *steps, *windows, [*windows, WHISPER_STATES])
    }));
    stages
}

/// Translating batches of texts with a model of opus-mt's size.
#[must_use]
pub fn opus_mt(
    precision: Precision,
    batches: usize,
    texts: usize,
    beams: usize,
    source_tokens: usize,
    target_tokens: usize,
) -> Vec<Stage> {
    let shape = OPUS_MT;
    let tokens = texts * source_tokens;
    let weights = shape.layers * shape.encoder_layer() + shape.cross();
    let attention = 2 * shape.layers * tokens * source_tokens * shape.width;
    let encoder = Stage {
        name: "encoder, keys and values",
        times: batches,
        operations: precision.linear(tokens * weights) + precision.other(attention),
        bytes: (weights * precision.bytes()) as u64,
    };
    let memory = precision.activations();
    let steps =
        shape.steps(precision, memory, batches * target_tokens, texts * beams, [texts, source_tokens]);
    vec![encoder, steps]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, within: f64) -> bool {
        (found / expected - 1.0).abs() < within
    }

    #[test]
    fn whisper_base_is_as_large_as_it_is_known_to_be() {
        let stages = whisper(Precision::Int8, &[(1, 64)]);
        let of = |name: &str| stages.iter().find(|stage| stage.name == name).unwrap();
        // Six layers of 3.1 million weights over 1500 states, a sixth of them in bfloat16.
        let linear = of("encoder, linear").operations;
        assert!(close(linear.int8 + linear.bfloat16, 56.6e9, 0.01), "{linear:?}");
        assert!(close(linear.bfloat16, 56.6e9 / 6.0, 0.01), "{linear:?}");
        assert!(close(of("encoder, attention").operations.bfloat16, 27.6e9, 0.01));
        assert!(close(of("convolutions").operations.bfloat16, 3.1e9, 0.01));
        assert!(close(of("cross-attention, keys and values").operations.int8, 9.4e9, 0.01));
        // 48.6 MB of weights and 9.2 MB of keys and values.
        let steps = of("decoder steps");
        assert_eq!((steps.times, steps.bytes), (64, 48_574_976 + 9_216_000));
    }

    #[test]
    fn formats_change_bytes_and_units() {
        let of = |precision| whisper(precision, &[(1, 64)]).pop().unwrap();
        let [half, full] = [of(Precision::Bfloat16), of(Precision::Float32)];
        assert_eq!(half.bytes, 2 * 48_574_976 + 18_432_000);
        assert_eq!(full.bytes, 2 * half.bytes);
        assert!(half.operations.float32 == 0.0 && half.operations.bfloat16 > 0.0);
        assert!(full.operations.bfloat16 == 0.0 && full.operations.float32 > 0.0);
    }

    #[test]
    fn a_batch_reads_weights_once_and_computes_for_every_row() {
        let one = opus_mt(Precision::Int8, 1, 1, 1, 25, 25);
        let many = opus_mt(Precision::Int8, 1, 16, 4, 25, 25);
        assert_eq!(one[1].times, 25);
        assert!(close(one[1].operations.int8, 2.0 * 51.8e6, 0.01), "{:?}", one[1]);
        assert!(close(many[1].operations.int8, 64.0 * one[1].operations.int8, 1e-9));
        assert!(many[1].bytes < 2 * one[1].bytes);
        let in_flight = opus_mt(Precision::Int8, 8, 16, 1, 25, 25);
        assert_eq!((in_flight[0].times, in_flight[1].times), (8, 200));
    }
}
