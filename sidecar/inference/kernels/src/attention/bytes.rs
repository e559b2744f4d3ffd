//! Keys and values in bytes, for a context that is read over and over: half of what bfloat16 takes.
//!
//! From each key the mean of all keys is taken off before it is rounded with a scale of its own: that moves all scores
//! of a query by the same, which softmax does not see, and leaves less to round. From each value too; their mean comes
//! back at the end, since weights add up to 1.
//!
//! Queries and weights are few beside the context. Each of their numbers becomes a pair of bytes, one worth 256 times
//! the other (128 times where a row's bytes have 7 bits), and the two go through the product of bytes as two rows. So
//! nothing is lost that counts but what keys and values lose, and sums stay exact integers.

use super::rows::{Asked, Rows};
use super::scratch::AttentionScratch;
use super::shape::{PAIR, Shape};
use crate::aligned::Aligned;
use crate::linear::MAX_INPUTS;
use crate::pack::{ByteHead, Head};
use crate::product::{PANEL, Product};
use crate::table::Kernels;
use crate::team::Lanes;

/// Keys and values, each head by itself.
pub(super) struct Bytes {
    kernels: Kernels,
    shape: Shape,
    keys: Aligned<u8>,
    values: Aligned<u8>,
    /// For each key of each head what a step of its bytes is worth, and what they add up to.
    key_scales: Aligned<f32>,
    key_totals: Aligned<i32>,
    /// For each value of each head what a step of its bytes is worth.
    value_scales: Aligned<f32>,
    /// For each head the mean of its values.
    means: Aligned<f32>,
    /// What a column of values is worth: scales belong to its rows.
    ones: Aligned<f32>,
    zeros: Aligned<i32>,
}

/// Where one head's keys and values go.
struct Place<'a> {
    keys: &'a mut [u8],
    values: &'a mut [u8],
    key_scales: &'a mut [f32],
    key_totals: &'a mut [i32],
    value_scales: &'a mut [f32],
    mean: &'a mut [f32],
}

impl Bytes {
    pub(super) fn new(kernels: Kernels, shape: Shape) -> Self {
        assert!(shape.capacity <= MAX_INPUTS, "sums of {} products of bytes", shape.capacity);
        let Shape { heads, width, .. } = shape;
        let mut ones = Aligned::zeroed(shape.padded_width());
        ones.fill(1.0);
        Self {
            kernels,
            shape,
            keys: Aligned::zeroed(heads * shape.key_bytes()),
            values: Aligned::zeroed(heads * shape.value_bytes()),
            key_scales: Aligned::zeroed(heads * shape.padded()),
            key_totals: Aligned::zeroed(heads * shape.padded()),
            value_scales: Aligned::zeroed(heads * shape.padded()),
            means: Aligned::zeroed(heads * width),
            ones,
            zeros: Aligned::zeroed(shape.padded_width()),
        }
    }

    pub(super) fn space_bytes(shape: &Shape) -> usize {
        let numbers = 3 * shape.padded() + shape.width;
        shape.heads * (shape.key_bytes() + shape.value_bytes() + 4 * numbers) + 8 * shape.padded_width()
    }

    /// Takes rows that were checked, at least one.
    pub(super) fn fill(&mut self, lanes: &Lanes<'_>, keys: Rows<'_>, values: Rows<'_>) {
        let shape = self.shape;
        let keys_of_heads = self.keys.chunks_exact_mut(shape.key_bytes());
        let values_of_heads = self.values.chunks_exact_mut(shape.value_bytes());
        let key_scales = self.key_scales.chunks_exact_mut(shape.padded());
        let key_totals = self.key_totals.chunks_exact_mut(shape.padded());
        let value_scales = self.value_scales.chunks_exact_mut(shape.padded());
        let means = self.means.chunks_exact_mut(shape.width);
        let panels = keys_of_heads.zip(values_of_heads);
        let numbers = key_scales.zip(key_totals).zip(value_scales).zip(means);
        let places =
            panels.zip(numbers).map(|((keys, values), (((key_scales, key_totals), value_scales), mean))| {
                Place { keys, values, key_scales, key_totals, value_scales, mean }
            });
        let table = self.kernels.table;
        lanes.for_each(places.enumerate().collect(), |(head, place)| {
            let mut key_mean = Aligned::<f32>::zeroed(shape.width);
            let mut centred = Aligned::<f32>::zeroed(shape.width);
            let mut rounded = Aligned::<u8>::zeroed(4 * shape.padded_width());
            let (centred, rounded) = (centred.as_mut_ptr(), rounded.as_mut_ptr());
            let of = |rows: Rows<'_>, mean: &mut [f32], scales: &mut [f32]| ByteHead {
                head: Head {
                    rows: rows.data[head * shape.width..].as_ptr(),
                    stride: rows.stride,
                    count: rows.count,
                    width: shape.width,
                    key_steps: shape.key_steps(),
                    value_steps: shape.value_steps(),
                },
                mean: mean.as_mut_ptr(),
                scales: scales.as_mut_ptr(),
                centred,
                rounded,
            };
            let Place { keys: key_panels, values: value_panels, key_scales, key_totals, value_scales, mean } =
                place;
            // SAFETY: each place has the panels, scales and totals of one head for the whole capacity, and its mean;
            // the rows were checked by the caller, and there is space for four rows on their way.
            unsafe {
                let keys = of(keys, &mut key_mean, key_scales);
                (table.pack_keys_int8)(&keys, key_totals.as_mut_ptr(), key_panels.as_mut_ptr());
                (table.pack_values_int8)(&of(values, mean, value_scales), value_panels.as_mut_ptr());
            }
        });
    }

    /// As [`KeyValues::attend`](super::KeyValues::attend), of what was checked.
    pub(super) fn attend(
        &self,
        asked: Asked<'_>,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let width = self.shape.width;
        let (table, keys, count) = (self.kernels.table, self.shape.padded(), asked.count);
        self.scores(asked, asked.scale * std::f32::consts::LOG2_E, scratch);
        let factors = &self.value_scales[asked.head * keys..][..count];
        let mut inverses = Vec::with_capacity(asked.queries.count);
        for row in 0..asked.queries.count {
            let (scores, more) = scratch.scores[row * PAIR * keys..][..PAIR * keys].split_at_mut(keys);
            let (high, low) = scratch.weights[row * PAIR * keys..][..PAIR * keys].split_at_mut(keys);
            // SAFETY: there are `keys` numbers in each of them, at least `count`, which is not 0.
            let step = unsafe {
                let (scores, more) = (scores.as_mut_ptr(), more.as_ptr());
                inverses.push((table.softmax_weights_times)(scores, more, factors.as_ptr(), count));
                (table.to_byte_pairs)(
                    scores,
                    count,
                    1.0,
                    table.greatest_byte,
                    high.as_mut_ptr(),
                    low.as_mut_ptr(),
                )
                .0
            };
            // What meets values of another context, or none, weighs nothing.
            high[count..].fill(0);
            low[count..].fill(0);
            // Weights are not negative, so that zero stands for zero.
            self.set_pair(scratch, row, step, 0);
        }
        let product = Product {
            rows: PAIR * asked.queries.count,
            row_data: scratch.weights.as_ptr(),
            row_stride: keys,
            row_scales: scratch.row_scales.as_ptr(),
            row_zeros: scratch.row_zeros.as_ptr(),
            panels: self.values[asked.head * self.shape.value_bytes()..].as_ptr(),
            steps: self.shape.value_steps(),
            end_panel: width.div_ceil(PANEL),
            columns: width,
            column_scales: self.ones.as_ptr(),
            column_totals: self.zeros.as_ptr(),
            out: scratch.seen.as_mut_ptr(),
            out_stride: width,
            ..Product::EMPTY
        };
        self.compute(&product);
        let mean = &self.means[asked.head * width..][..width];
        for ((row, inverse), pair) in
            inverses.into_iter().enumerate().zip(scratch.seen.chunks_exact(PAIR * width))
        {
            let (high, low) = pair.split_at(width);
            let out = &mut out[row * out_stride..][..width];
            for (((out, high), low), mean) in out.iter_mut().zip(high).zip(low).zip(mean) {
                *out = (high + low) * inverse + mean;
            }
        }
    }

    /// As [`KeyValues::weights`](super::KeyValues::weights), of what was checked.
    pub(super) fn weights(&self, asked: Asked<'_>, scratch: &mut AttentionScratch, out: &mut [f32]) {
        let keys = self.shape.padded();
        self.scores(asked, asked.scale, scratch);
        for (pair, out) in scratch.scores.chunks_exact(PAIR * keys).zip(out.chunks_exact_mut(asked.count)) {
            let (high, low) = pair.split_at(keys);
            for ((out, high), low) in out.iter_mut().zip(high).zip(low) {
                *out = high + low;
            }
            // SAFETY: the processor has the instructions, and there are that many numbers, at least one.
            let inverse =
                unsafe { (self.kernels.table.softmax_weights)(out.as_mut_ptr(), out.len(), out.len()) };
            self.kernels.scale(out, inverse);
        }
    }

    /// Puts the products of the queries with the keys, times `factor`, into the scratch space: for each query two rows
    /// that add up to them.
    fn scores(&self, asked: Asked<'_>, factor: f32, scratch: &mut AttentionScratch) {
        let Asked { head, queries, count, .. } = asked;
        let (table, keys) = (self.kernels.table, self.shape.padded());
        let row_bytes = self.shape.width.next_multiple_of(16);
        for row in 0..queries.count {
            let from = &queries.data[row * queries.stride..][..self.shape.width];
            let pair = &mut scratch.queries[row * PAIR * row_bytes..][..PAIR * row_bytes];
            pair.fill(0);
            let (high, low) = pair.split_at_mut(row_bytes);
            // SAFETY: the processor has the instructions, and there is a place for each number in both.
            let (step, zero) = unsafe {
                (table.to_byte_pairs)(
                    from.as_ptr(),
                    from.len(),
                    factor,
                    table.greatest_byte,
                    high.as_mut_ptr(),
                    low.as_mut_ptr(),
                )
            };
            self.set_pair(scratch, row, step, zero);
        }
        let product = Product {
            rows: PAIR * queries.count,
            row_data: scratch.queries.as_ptr(),
            row_stride: row_bytes,
            row_scales: scratch.row_scales.as_ptr(),
            row_zeros: scratch.row_zeros.as_ptr(),
            panels: self.keys[head * self.shape.key_bytes()..].as_ptr(),
            steps: self.shape.key_steps(),
            end_panel: count.div_ceil(PANEL),
            columns: keys,
            column_scales: self.key_scales[head * keys..].as_ptr(),
            column_totals: self.key_totals[head * keys..].as_ptr(),
            out: scratch.scores.as_mut_ptr(),
            out_stride: keys,
            next: self.values[head * self.shape.value_bytes()..].as_ptr(),
            ..Product::EMPTY
        };
        self.compute(&product);
    }

    /// Sets the scales and zeros of a pair of rows of which the second has steps of `step`, and `zero` stands for zero
    /// in both together.
    fn set_pair(&self, scratch: &mut AttentionScratch, row: usize, step: f32, zero: i32) {
        let base = self.kernels.table.greatest_byte + 1;
        scratch.row_scales[row * PAIR..][..PAIR].copy_from_slice(&[step * base as f32, step]);
        scratch.row_zeros[row * PAIR..][..PAIR].copy_from_slice(&[zero / base, zero % base]);
    }

    fn compute(&self, product: &Product) {
        // SAFETY: the processor has the instructions, as there is no `Kernels` otherwise; the functions above made
        // the product of buffers whose sizes were checked, with scales and totals for each row and column.
        unsafe { (self.kernels.table.int8)(product) }
    }
}

#[cfg(test)]
mod tests;
