//! Attention to many keys at once: a window of speech, which every query sees whole.

mod apart;
mod bytes;
mod floats;
mod rows;
mod scratch;
mod shape;

pub use self::apart::Context;
use self::bytes::Bytes;
use self::floats::Floats;
use self::rows::Asked;
pub use self::rows::Rows;
pub use self::scratch::AttentionScratch;
use self::shape::Shape;
use crate::format::Format;
use crate::table::Kernels;
use crate::team::Lanes;

/// The keys and values of a piece of context, packed for products, each head by itself.
pub struct KeyValues {
    shape: Shape,
    count: usize,
    packed: Packed,
}

enum Packed {
    Floats(Floats),
    Bytes(Bytes),
}

impl KeyValues {
    /// Space for up to `capacity` keys and values of `heads` heads of `width` numbers each.
    ///
    /// # Panics
    /// Where there is nothing to attend to, or there are more bytes than their sums have space for
    /// ([`MAX_INPUTS`](crate::MAX_INPUTS)).
    #[must_use]
    pub fn new(kernels: Kernels, format: Format, heads: usize, width: usize, capacity: usize) -> Self {
        assert!(heads > 0 && width > 0 && capacity > 0, "there is something to attend to");
        let shape = Shape { format, heads, width, capacity };
        let packed = match format {
            Format::Int8 => Packed::Bytes(Bytes::new(kernels, shape)),
            Format::Float32 | Format::Bfloat16 => Packed::Floats(Floats::new(kernels, shape)),
        };
        Self { shape, count: 0, packed }
    }

    /// The bytes that the space takes.
    #[must_use]
    pub fn space_bytes(format: Format, heads: usize, width: usize, capacity: usize) -> u64 {
        let shape = Shape { format, heads, width, capacity };
        let bytes = match format {
            Format::Int8 => Bytes::space_bytes(&shape),
            Format::Float32 | Format::Bfloat16 => Floats::space_bytes(&shape),
        };
        bytes as u64
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many heads there are.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.shape.heads
    }

    /// Takes keys and values, all heads of a row side by side, on all threads of the job.
    ///
    /// # Panics
    /// Where there are more than the capacity, or not as many keys as values.
    pub fn fill(&mut self, lanes: &Lanes<'_>, keys: Rows<'_>, values: Rows<'_>) {
        let Shape { heads, width, capacity, .. } = self.shape;
        assert_eq!(keys.count, values.count, "there is a value for each key");
        assert!(keys.count <= capacity, "{} keys, space for {capacity}", keys.count);
        keys.check(heads * width);
        values.check(heads * width);
        self.count = keys.count;
        if keys.count == 0 {
            return;
        }
        match &mut self.packed {
            Packed::Floats(floats) => floats.fill(lanes, keys, values),
            Packed::Bytes(bytes) => bytes.fill(lanes, keys, values),
        }
    }

    /// What the queries of one head see: softmax of the scaled products with the keys, times the values. Row `i` of
    /// the result starts at `out[i * out_stride]`.
    ///
    /// # Panics
    /// Where there are no keys, no such head, or too little space.
    pub fn attend(
        &self,
        head: usize,
        queries: Rows<'_>,
        scale: f32,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let asked = self.asked(head, queries, scale, scratch);
        Rows { data: out, stride: out_stride, count: queries.count }.check(self.shape.width);
        match &self.packed {
            Packed::Floats(floats) => floats.attend(asked, scratch, out, out_stride),
            Packed::Bytes(bytes) => bytes.attend(asked, scratch, out, out_stride),
        }
    }

    /// The weights that the queries of one head give the keys, each row adding up to 1: `out` has one row of
    /// [`KeyValues::count`] numbers for each query.
    ///
    /// # Panics
    /// As [`KeyValues::attend`].
    pub fn weights(
        &self,
        head: usize,
        queries: Rows<'_>,
        scale: f32,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), queries.count * self.count, "one weight for each query and key");
        let asked = self.asked(head, queries, scale, scratch);
        match &self.packed {
            Packed::Floats(floats) => floats.weights(asked, scratch, out),
            Packed::Bytes(bytes) => bytes.weights(asked, scratch, out),
        }
    }

    /// Checks a question.
    fn asked<'a>(&self, head: usize, queries: Rows<'a>, scale: f32, scratch: &AttentionScratch) -> Asked<'a> {
        let Shape { format, heads, width, capacity, .. } = self.shape;
        assert!(head < heads && self.count > 0, "head {head} of {} keys", self.count);
        queries.check(width);
        scratch.check(format, queries.count, capacity, width);
        Asked { head, queries, scale, count: self.count }
    }
}

#[cfg(test)]
mod tests;
