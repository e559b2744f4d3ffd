//! What a thread needs while it attends.

use super::shape::PAIR;
use crate::aligned::Aligned;
use crate::format::Format;
use crate::product::PANEL;

/// Space for attention, one for each thread.
pub struct AttentionScratch {
    pub(super) format: Format,
    pub(super) queries: Aligned<u8>,
    pub(super) scores: Aligned<f32>,
    pub(super) weights: Aligned<u8>,
    /// For pairs of bytes: what the two rows of each pair see, and the scales and zeros of the rows.
    pub(super) seen: Aligned<f32>,
    pub(super) row_scales: Aligned<f32>,
    pub(super) row_zeros: Aligned<i32>,
}

/// How many numbers there are of each kind for one query.
struct Sizes {
    /// Bytes of it.
    query: usize,
    /// Numbers that tell how near the keys are.
    scores: usize,
    /// Bytes of what the keys weigh.
    weights: usize,
    /// Numbers of the two rows of a pair; none where there are no pairs.
    seen: usize,
    /// Rows of a pair; none where there are no pairs.
    pair: usize,
}

impl Sizes {
    fn of(format: Format, keys: usize, width: usize) -> Self {
        let (keys, width) = (keys.next_multiple_of(PANEL), width.next_multiple_of(16));
        match format {
            // Weights take the place of the scores.
            Format::Float32 => Self { query: width * 4, scores: keys, weights: 0, seen: 0, pair: 0 },
            Format::Bfloat16 => Self { query: width * 2, scores: keys, weights: keys * 2, seen: 0, pair: 0 },
            Format::Int8 => Self {
                query: width * PAIR,
                scores: keys * PAIR,
                weights: keys * PAIR,
                seen: width * PAIR,
                pair: PAIR,
            },
        }
    }

    fn bytes(&self) -> usize {
        self.query + self.scores * 4 + self.weights + self.seen * 4 + self.pair * 8
    }
}

impl AttentionScratch {
    /// Space for `queries` at once to up to `keys` in a format, of heads of up to `width` numbers.
    #[must_use]
    pub fn new(format: Format, queries: usize, keys: usize, width: usize) -> Self {
        let sizes = Sizes::of(format, keys, width);
        Self {
            format,
            queries: Aligned::zeroed(queries * sizes.query),
            scores: Aligned::zeroed(queries * sizes.scores),
            weights: Aligned::zeroed(queries * sizes.weights),
            seen: Aligned::zeroed(queries * sizes.seen),
            row_scales: Aligned::zeroed(queries * sizes.pair),
            row_zeros: Aligned::zeroed(queries * sizes.pair),
        }
    }

    /// The bytes that it takes.
    #[must_use]
    pub fn space_bytes(format: Format, queries: usize, keys: usize, width: usize) -> u64 {
        (queries * Sizes::of(format, keys, width).bytes()) as u64
    }

    /// Checks that there is space for so many queries to so many keys in a format.
    pub(super) fn check(&self, format: Format, queries: usize, keys: usize, width: usize) {
        assert_eq!(self.format, format, "space for attention in another format");
        let sizes = Sizes::of(format, keys, width);
        let fits = queries * sizes.query <= self.queries.len()
            && queries * sizes.scores <= self.scores.len()
            && queries * sizes.weights <= self.weights.len()
            && queries * sizes.seen <= self.seen.len();
        assert!(fits, "space for {queries} queries of {width} to {keys} keys");
    }
}
