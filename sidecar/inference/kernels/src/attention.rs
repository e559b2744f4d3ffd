//! Attention to many keys at once: a window of speech, which every query sees whole.

use crate::aligned::Aligned;
use crate::format::Format;
use crate::pack::Head;
use crate::product::{PANEL, Product, STEP_BYTES};
use crate::row::Attend;
use crate::table::Kernels;
use crate::team::Lanes;

/// Rows of numbers in a larger buffer: row `i` starts at `i * stride`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first number of row 0 on.
    pub data: &'a [f32],
    /// From a row to the next, in numbers.
    pub stride: usize,
    /// How many rows there are.
    pub count: usize,
}

impl Rows<'_> {
    fn check(&self, width: usize) {
        assert!(self.count <= 1 || self.stride >= width, "rows do not overlap");
        let needed = if self.count == 0 { 0 } else { (self.count - 1) * self.stride + width };
        assert!(self.data.len() >= needed, "{needed} numbers are needed, there are {}", self.data.len());
    }
}

/// The keys and values of a piece of context, packed for products, each head by itself.
pub struct KeyValues {
    kernels: Kernels,
    format: Format,
    heads: usize,
    width: usize,
    capacity: usize,
    count: usize,
    key_steps: usize,
    value_steps: usize,
    keys: Aligned<u8>,
    values: Aligned<u8>,
}

/// Space for attention, one for each thread.
pub struct AttentionScratch {
    queries: Aligned<f32>,
    scores: Aligned<f32>,
    weights: Aligned<u16>,
}

impl AttentionScratch {
    /// Space for `queries` at once to up to `keys`, of heads of up to `width` numbers.
    #[must_use]
    pub fn new(queries: usize, keys: usize, width: usize) -> Self {
        let keys = keys.next_multiple_of(PANEL);
        Self {
            queries: Aligned::zeroed(queries * width.next_multiple_of(16)),
            scores: Aligned::zeroed(queries * keys),
            weights: Aligned::zeroed(queries * keys),
        }
    }

    /// The bytes that it takes.
    #[must_use]
    pub fn space_bytes(queries: usize, keys: usize, width: usize) -> u64 {
        (queries * (keys.next_multiple_of(PANEL) * 6 + width.next_multiple_of(16) * 4)) as u64
    }
}

impl KeyValues {
    /// Space for up to `capacity` keys and values of `heads` heads of `width` numbers each, in float32 or bfloat16.
    ///
    /// # Panics
    /// Where the format is bytes, which attention does not come in.
    #[must_use]
    pub fn new(kernels: Kernels, format: Format, heads: usize, width: usize, capacity: usize) -> Self {
        let (keys, values, key_steps, value_steps) = Self::sizes(format, heads, width, capacity);
        Self {
            kernels,
            format,
            heads,
            width,
            capacity,
            count: 0,
            key_steps,
            value_steps,
            keys: Aligned::zeroed(heads * keys),
            values: Aligned::zeroed(heads * values),
        }
    }

    /// Bytes of a head's keys and of its values, and the steps of a panel of each.
    fn sizes(format: Format, heads: usize, width: usize, capacity: usize) -> (usize, usize, usize, usize) {
        assert!(format != Format::Int8, "attention is computed in floats");
        assert!(heads > 0 && width > 0 && capacity > 0, "there is something to attend to");
        let panels = capacity.div_ceil(PANEL);
        let key_steps = format.steps(width);
        let value_steps = panels * PANEL / format.numbers_a_step();
        let values = width.div_ceil(PANEL) * value_steps * STEP_BYTES;
        (panels * key_steps * STEP_BYTES, values, key_steps, value_steps)
    }

    /// The bytes that the space takes.
    #[must_use]
    pub fn space_bytes(format: Format, heads: usize, width: usize, capacity: usize) -> u64 {
        let (keys, values, ..) = Self::sizes(format, heads, width, capacity);
        (heads * (keys + values)) as u64
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many heads there are.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Takes keys and values, all heads of a row side by side, on all threads of the job.
    ///
    /// # Panics
    /// Where there are more than the capacity, or not as many keys as values.
    pub fn fill(&mut self, lanes: &Lanes<'_>, keys: Rows<'_>, values: Rows<'_>) {
        assert_eq!(keys.count, values.count, "there is a value for each key");
        assert!(keys.count <= self.capacity, "{} keys, space for {}", keys.count, self.capacity);
        keys.check(self.heads * self.width);
        values.check(self.heads * self.width);
        self.count = keys.count;
        let (key_bytes, value_bytes) = (self.keys.len() / self.heads, self.values.len() / self.heads);
        let places = self.keys.chunks_exact_mut(key_bytes).zip(self.values.chunks_exact_mut(value_bytes));
        let tasks: Vec<_> = places.enumerate().collect();
        let (table, format, width) = (self.kernels.table, self.format, self.width);
        let (key_steps, value_steps) = (self.key_steps, self.value_steps);
        lanes.for_each(tasks, |(head, (key_place, value_place))| {
            let of = |rows: Rows<'_>| Head {
                rows: rows.data[head * width..].as_ptr(),
                stride: rows.stride,
                count: rows.count,
                width,
                key_steps,
                value_steps,
            };
            if keys.count == 0 {
                return;
            }
            // SAFETY: each place has the panels of one head for the whole capacity and starts at a multiple of 64
            // bytes, as panels are multiples of 128; the rows were checked above.
            unsafe {
                if format == Format::Bfloat16 {
                    (table.pack_keys_bfloat16)(&of(keys), key_place.as_mut_ptr().cast());
                    (table.pack_values_bfloat16)(&of(values), value_place.as_mut_ptr().cast());
                } else {
                    (table.pack_keys_float32)(&of(keys), key_place.as_mut_ptr().cast());
                    (table.pack_values_float32)(&of(values), value_place.as_mut_ptr().cast());
                }
            }
        });
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
        let inverses = self.scores(head, queries, scale, scratch);
        Rows { data: out, stride: out_stride, count: queries.count }.check(self.width);
        let value_bytes = self.values.len() / self.heads;
        let keys = self.capacity.next_multiple_of(PANEL);
        let is_half = self.format == Format::Bfloat16;
        let weights: *const u8 =
            if is_half { scratch.weights.as_ptr().cast() } else { scratch.scores.as_ptr().cast() };
        let product = Product {
            rows: queries.count,
            row_data: weights,
            row_stride: keys * self.format.bytes(),
            panels: self.values[head * value_bytes..].as_ptr(),
            // Weights behind the last key are zero up to a whole panel.
            steps: self.value_steps,
            end_panel: self.width.div_ceil(PANEL),
            columns: self.width,
            out: out.as_mut_ptr(),
            out_stride,
            ..Product::EMPTY
        };
        self.compute(&product);
        for (row, inverse) in inverses.into_iter().enumerate() {
            self.kernels.scale(&mut out[row * out_stride..][..self.width], inverse);
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
        let inverses = self.scores(head, queries, scale, scratch);
        let keys = self.capacity.next_multiple_of(PANEL);
        for (row, inverse) in inverses.into_iter().enumerate() {
            let out = &mut out[row * self.count..][..self.count];
            if self.format == Format::Bfloat16 {
                let weights = &scratch.weights[row * keys..][..self.count];
                for (out, weight) in out.iter_mut().zip(weights) {
                    *out = crate::vector::portable::from_bfloat16(*weight);
                }
            } else {
                out.copy_from_slice(&scratch.scores[row * keys..][..self.count]);
            }
            self.kernels.scale(out, inverse);
        }
    }

    /// Puts the weights, not yet divided by their sum, into the scratch space; returns one over the sums.
    fn scores(&self, head: usize, queries: Rows<'_>, scale: f32, scratch: &mut AttentionScratch) -> Vec<f32> {
        assert!(head < self.heads && self.count > 0, "head {head} of {} keys", self.count);
        queries.check(self.width);
        let keys = self.capacity.next_multiple_of(PANEL);
        let width = self.width.next_multiple_of(16);
        assert!(queries.count * keys <= scratch.scores.len(), "space for {} queries", queries.count);
        assert!(queries.count * width <= scratch.queries.len(), "space for queries of {width}");
        let is_half = self.format == Format::Bfloat16;
        let table = self.kernels.table;
        // bfloat16 weights are powers of 2 instead of e: one multiplication less for each of them.
        let factor = if is_half { scale * std::f32::consts::LOG2_E } else { scale };
        let row_bytes = width * self.format.bytes();
        let query_bytes = scratch.queries.as_mut_ptr().cast::<u8>();
        for row in 0..queries.count {
            let from = &queries.data[row * queries.stride..][..self.width];
            // SAFETY: the space for queries has `width` numbers of at most 4 bytes for each of them, as checked.
            unsafe {
                let to = query_bytes.add(row * row_bytes);
                to.write_bytes(0, row_bytes);
                if is_half {
                    (table.to_bfloat16)(from.as_ptr(), self.width, factor, to.cast());
                } else {
                    std::ptr::copy_nonoverlapping(from.as_ptr(), to.cast(), self.width);
                    (table.scale)(to.cast(), self.width, factor);
                }
            }
        }
        let key_bytes = self.keys.len() / self.heads;
        let product = Product {
            rows: queries.count,
            row_data: query_bytes.cast_const(),
            row_stride: row_bytes,
            panels: self.keys[head * key_bytes..].as_ptr(),
            steps: self.key_steps,
            end_panel: self.count.div_ceil(PANEL),
            columns: keys,
            out: scratch.scores.as_mut_ptr(),
            out_stride: keys,
            ..Product::EMPTY
        };
        self.compute(&product);
        (0..queries.count)
            .map(|row| {
                let scores = &mut scratch.scores[row * keys..][..keys];
                // SAFETY: there are `keys` numbers in each row of both, and `count` is at most that.
                unsafe {
                    if is_half {
                        let weights = scratch.weights[row * keys..][..keys].as_mut_ptr();
                        (table.softmax_weights_bfloat16)(scores.as_ptr(), self.count, keys, weights)
                    } else {
                        (table.softmax_weights)(scores.as_mut_ptr(), self.count, keys)
                    }
                }
            })
            .collect()
    }

    fn compute(&self, product: &Product) {
        let table = self.kernels.table;
        let compute = if self.format == Format::Bfloat16 { table.bfloat16 } else { table.float32 };
        // SAFETY: the processor has the instructions, as there is no `Kernels` otherwise; the callers above made
        // the product of buffers whose sizes they checked.
        unsafe { compute(product) }
    }
}

/// Keys and values that lie as rows in larger buffers, heads side by side in each row.
#[derive(Clone, Copy)]
pub enum Context<'a> {
    /// Of float32.
    Float32 {
        /// From the first number of the first key on.
        keys: &'a [f32],
        /// From the first number of the first value on.
        values: &'a [f32],
    },
    /// Of bfloat16.
    Bfloat16 {
        /// As for float32.
        keys: &'a [u16],
        /// As for float32.
        values: &'a [u16],
    },
}

impl Kernels {
    /// What a row of queries, one for each head of `head_width` numbers, sees of keys and values: `offsets` says where
    /// each key, and its value, starts. `scores` is space for a number for each key and head.
    ///
    /// # Panics
    /// Where there are no keys, heads are not whole, a row is not within its buffer, or `scores` is too small.
    #[expect(clippy::too_many_arguments, reason = "each is a plain slice, and no two belong together")]
    pub fn attend_rows(
        self,
        queries: &[f32],
        context: Context<'_>,
        offsets: &[usize],
        head_width: usize,
        scale: f32,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let (count, all) = (offsets.len(), queries.len());
        assert!(head_width > 0 && all.is_multiple_of(head_width), "heads of {head_width} in rows of {all}");
        let heads = all / head_width;
        assert!(count > 0 && scores.len() >= count * heads, "{count} keys of {heads} heads");
        assert_eq!(out.len(), all, "the result is as wide as the queries");
        let last = offsets.iter().copied().max().unwrap_or(0);
        let needed = last.saturating_add(all);
        let (keys, values) = match context {
            Context::Float32 { keys, values } => (keys.len(), values.len()),
            Context::Bfloat16 { keys, values } => (keys.len(), values.len()),
        };
        assert!(keys >= needed && values >= needed, "rows lie within their buffers");
        let work = Attend {
            queries: queries.as_ptr(),
            keys: std::ptr::null::<()>(),
            values: std::ptr::null(),
            offsets: offsets.as_ptr(),
            count,
            heads,
            width: head_width,
            scale,
            scores: scores.as_mut_ptr(),
            out: out.as_mut_ptr(),
        };
        // SAFETY: the processor has the instructions, and every row is within its buffer.
        unsafe {
            match context {
                Context::Float32 { keys, values } => {
                    (self.table.attend)(&work.with(keys.as_ptr(), values.as_ptr()));
                }
                Context::Bfloat16 { keys, values } => {
                    (self.table.attend_bfloat16)(&work.with(keys.as_ptr(), values.as_ptr()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
