//! Keys and values in float32 or bfloat16.

use super::rows::{Asked, Rows};
use super::scratch::AttentionScratch;
use super::shape::Shape;
use crate::aligned::Aligned;
use crate::format::Format;
use crate::pack::Head;
use crate::product::{PANEL, Product};
use crate::table::Kernels;
use crate::team::Lanes;

/// Keys and values, each head by itself.
pub(super) struct Floats {
    kernels: Kernels,
    shape: Shape,
    keys: Aligned<u8>,
    values: Aligned<u8>,
}

impl Floats {
    pub(super) fn new(kernels: Kernels, shape: Shape) -> Self {
        let (keys, values) = (shape.heads * shape.key_bytes(), shape.heads * shape.value_bytes());
        Self { kernels, shape, keys: Aligned::zeroed(keys), values: Aligned::zeroed(values) }
    }

    pub(super) fn space_bytes(shape: &Shape) -> usize {
        shape.heads * (shape.key_bytes() + shape.value_bytes())
    }

    /// Takes rows that were checked, at least one.
    pub(super) fn fill(&mut self, lanes: &Lanes<'_>, keys: Rows<'_>, values: Rows<'_>) {
        let shape = self.shape;
        let key_places = self.keys.chunks_exact_mut(shape.key_bytes());
        let places = key_places.zip(self.values.chunks_exact_mut(shape.value_bytes()));
        let table = self.kernels.table;
        lanes.for_each(places.enumerate().collect(), |(head, (key_place, value_place))| {
            let of = |rows: Rows<'_>| Head {
                rows: rows.data[head * shape.width..].as_ptr(),
                stride: rows.stride,
                count: rows.count,
                width: shape.width,
                key_steps: shape.key_steps(),
                value_steps: shape.value_steps(),
            };
            // SAFETY: each place has the panels of one head for the whole capacity and starts at a multiple of 64
            // bytes, as panels are multiples of 128; the rows were checked by the caller.
            unsafe {
                if shape.format == Format::Bfloat16 {
                    (table.pack_keys_bfloat16)(&of(keys), key_place.as_mut_ptr().cast());
                    (table.pack_values_bfloat16)(&of(values), value_place.as_mut_ptr().cast());
                } else {
                    (table.pack_keys_float32)(&of(keys), key_place.as_mut_ptr().cast());
                    (table.pack_values_float32)(&of(values), value_place.as_mut_ptr().cast());
                }
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
        let inverses = self.scores(asked, scratch);
        let Shape { format, width, .. } = self.shape;
        let is_half = format == Format::Bfloat16;
        let weights: *const u8 =
            if is_half { scratch.weights.as_ptr() } else { scratch.scores.as_ptr().cast() };
        let product = Product {
            rows: asked.queries.count,
            row_data: weights,
            row_stride: self.shape.padded() * format.bytes(),
            panels: self.values[asked.head * self.shape.value_bytes()..].as_ptr(),
            // Weights behind the last key are zero up to a whole panel.
            steps: self.shape.value_steps(),
            end_panel: width.div_ceil(PANEL),
            columns: width,
            out: out.as_mut_ptr(),
            out_stride,
            ..Product::EMPTY
        };
        self.compute(&product);
        for (row, inverse) in inverses.into_iter().enumerate() {
            self.kernels.scale(&mut out[row * out_stride..][..width], inverse);
        }
    }

    /// As [`KeyValues::weights`](super::KeyValues::weights), of what was checked.
    pub(super) fn weights(&self, asked: Asked<'_>, scratch: &mut AttentionScratch, out: &mut [f32]) {
        let inverses = self.scores(asked, scratch);
        let keys = self.shape.padded();
        for (row, inverse) in inverses.into_iter().enumerate() {
            let out = &mut out[row * asked.count..][..asked.count];
            if self.shape.format == Format::Bfloat16 {
                let weights = &scratch.weights[row * keys * 2..][..asked.count * 2];
                for (out, weight) in out.iter_mut().zip(weights.as_chunks::<2>().0) {
                    *out = crate::vector::portable::from_bfloat16(u16::from_ne_bytes(*weight));
                }
            } else {
                out.copy_from_slice(&scratch.scores[row * keys..][..asked.count]);
            }
            self.kernels.scale(out, inverse);
        }
    }

    /// Puts the weights, not yet divided by their sum, into the scratch space; returns one over the sums.
    fn scores(&self, asked: Asked<'_>, scratch: &mut AttentionScratch) -> Vec<f32> {
        let Asked { head, queries, scale, count } = asked;
        let keys = self.shape.padded();
        let row_width = self.shape.width.next_multiple_of(16);
        let is_half = self.shape.format == Format::Bfloat16;
        let table = self.kernels.table;
        // bfloat16 weights are powers of 2 instead of e: one multiplication less for each of them.
        let factor = if is_half { scale * std::f32::consts::LOG2_E } else { scale };
        let row_bytes = row_width * self.shape.format.bytes();
        let query_bytes = scratch.queries.as_mut_ptr();
        for row in 0..queries.count {
            let from = &queries.data[row * queries.stride..][..self.shape.width];
            // SAFETY: the space for queries has `row_bytes` for each of them, as was checked.
            unsafe {
                let to = query_bytes.add(row * row_bytes);
                to.write_bytes(0, row_bytes);
                if is_half {
                    (table.to_bfloat16)(from.as_ptr(), from.len(), factor, to.cast());
                } else {
                    std::ptr::copy_nonoverlapping(from.as_ptr(), to.cast(), from.len());
                    (table.scale)(to.cast(), from.len(), factor);
                }
            }
        }
        let product = Product {
            rows: queries.count,
            row_data: query_bytes.cast_const(),
            row_stride: row_bytes,
            panels: self.keys[head * self.shape.key_bytes()..].as_ptr(),
            steps: self.shape.key_steps(),
            end_panel: count.div_ceil(PANEL),
            columns: keys,
            out: scratch.scores.as_mut_ptr(),
            out_stride: keys,
            next: self.values[head * self.shape.value_bytes()..].as_ptr(),
            ..Product::EMPTY
        };
        self.compute(&product);
        (0..queries.count)
            .map(|row| {
                let scores = &mut scratch.scores[row * keys..][..keys];
                // SAFETY: there are `keys` numbers in each row of both, and `count` is at most that.
                unsafe {
                    if is_half {
                        let weights = scratch.weights[row * keys * 2..][..keys * 2].as_mut_ptr().cast();
                        (table.softmax_weights_bfloat16)(scores.as_ptr(), count, keys, weights)
                    } else {
                        (table.softmax_weights)(scores.as_mut_ptr(), count, keys)
                    }
                }
            })
            .collect()
    }

    fn compute(&self, product: &Product) {
        let table = self.kernels.table;
        let compute = if self.shape.format == Format::Bfloat16 { table.bfloat16 } else { table.float32 };
        // SAFETY: the processor has the instructions, as there is no `Kernels` otherwise; the functions above made
        // the product of buffers whose sizes were checked.
        unsafe { compute(product) }
    }
}
