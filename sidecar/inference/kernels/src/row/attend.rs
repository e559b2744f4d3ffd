//! Attention of one query to rows that lie apart.

use super::softmax::softmax_weights;
use crate::vector::{Vector, portable};

/// A number as keys and values are kept.
pub(crate) trait Stored: Copy {
    /// As many as a vector has lanes.
    ///
    /// # Safety
    /// As [`Vector`].
    unsafe fn load<V: Vector>(from: *const Self) -> V::F32;
    /// The first `count` lanes, fewer than all; the others are 0.
    ///
    /// # Safety
    /// As [`Vector`].
    unsafe fn load_part<V: Vector>(from: *const Self, count: usize) -> V::F32;
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V::F32 {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn load_part<V: Vector>(from: *const Self, count: usize) -> V::F32 {
        // SAFETY: the caller's promise.
        unsafe { V::load_part(from, count, 0.0) }
    }
}

/// bfloat16.
impl Stored for u16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V::F32 {
        // SAFETY: the caller's promise.
        unsafe { V::load_bfloat16(from) }
    }
    #[inline(always)]
    unsafe fn load_part<V: Vector>(from: *const Self, count: usize) -> V::F32 {
        let mut numbers = [0.0; MOST_LANES];
        // SAFETY: the caller's promise, and no vector has more lanes than there are numbers here.
        unsafe {
            for (at, number) in numbers.iter_mut().enumerate().take(count) {
                *number = portable::from_bfloat16(*from.add(at));
            }
            V::load(numbers.as_ptr())
        }
    }
}

/// The most lanes that a vector has.
const MOST_LANES: usize = 32;

/// The sum of the products of two rows.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers of each.
#[inline(always)]
unsafe fn dot<V: Vector, S: Stored>(left: *const f32, right: *const S, count: usize) -> f32 {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let mut sum = V::splat(0.0);
        let mut at = 0;
        while at + V::LANES <= count {
            sum = V::multiply_add(V::load(left.add(at)), S::load::<V>(right.add(at)), sum);
            at += V::LANES;
        }
        if at < count {
            let left = V::load_part(left.add(at), count - at, 0.0);
            sum = V::multiply_add(left, S::load_part::<V>(right.add(at), count - at), sum);
        }
        V::sum(sum)
    }
}

/// Attention of one row of queries, one for each head, to rows of keys and values that lie apart: `offsets` says where
/// each is. Heads lie side by side in every row.
pub(crate) struct Attend<S> {
    pub(crate) queries: *const f32,
    pub(crate) keys: *const S,
    pub(crate) values: *const S,
    /// Where each key's row starts from `keys`, and each value's from `values`, in numbers.
    pub(crate) offsets: *const usize,
    /// How many keys there are; not 0.
    pub(crate) count: usize,
    pub(crate) heads: usize,
    /// Numbers of a head.
    pub(crate) width: usize,
    pub(crate) scale: f32,
    /// Space for `count` numbers of each head.
    pub(crate) scores: *mut f32,
    /// Space for `width` numbers of each head.
    pub(crate) out: *mut f32,
}

impl<S> Attend<S> {
    /// The same with these keys and values.
    pub(crate) fn with<N>(&self, keys: *const N, values: *const N) -> Attend<N> {
        let Self { queries, offsets, count, heads, width, scale, scores, out, .. } = *self;
        Attend { queries, keys, values, offsets, count, heads, width, scale, scores, out }
    }
}

/// # Safety
/// As [`Vector`]; everything leads to as much as its description says.
#[inline(always)]
pub(crate) unsafe fn attend<V: Vector, S: Stored>(work: &Attend<S>) {
    let Attend { count, width, .. } = *work;
    // SAFETY: the caller's promise: heads lie within the rows.
    unsafe {
        // A key's row is read once from its beginning to its end, which is how memory is read fastest.
        for index in 0..count {
            let key = work.keys.add(*work.offsets.add(index));
            for head in 0..work.heads {
                let (query, key) = (work.queries.add(head * width), key.add(head * width));
                *work.scores.add(head * count + index) = dot::<V, S>(query, key, width) * work.scale;
            }
        }
        for head in 0..work.heads {
            let scores = work.scores.add(head * count);
            let inverse = softmax_weights::<V>(scores, count, count);
            weigh::<V, S>(work, head, scores, inverse);
        }
    }
}

/// The values of one head, each times its weight, added up and multiplied with `inverse`.
///
/// # Safety
/// As [`attend`]; there is a weight for each value.
#[inline(always)]
unsafe fn weigh<V: Vector, S: Stored>(work: &Attend<S>, head: usize, weights: *const f32, inverse: f32) {
    let Attend { count, width, .. } = *work;
    // SAFETY: `first` and the lanes behind it stay within the head.
    unsafe {
        let (values, out) = (work.values.add(head * width), work.out.add(head * width));
        // Four vectors of a head's values at a time: with 16 lanes a head of 64 takes one pass.
        let mut first = 0;
        while first + 4 * V::LANES <= width {
            let mut sums = [V::splat(0.0); 4];
            for index in 0..count {
                let weight = V::splat(*weights.add(index));
                let value = values.add(*work.offsets.add(index) + first);
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = V::multiply_add(weight, S::load::<V>(value.add(part * V::LANES)), *sum);
                }
            }
            for (part, sum) in sums.into_iter().enumerate() {
                V::store(out.add(first + part * V::LANES), V::multiply(sum, V::splat(inverse)));
            }
            first += 4 * V::LANES;
        }
        while first < width {
            let lanes = V::LANES.min(width - first);
            let mut sum = V::splat(0.0);
            for index in 0..count {
                let value = values.add(*work.offsets.add(index) + first);
                let value =
                    if lanes == V::LANES { S::load::<V>(value) } else { S::load_part::<V>(value, lanes) };
                sum = V::multiply_add(V::splat(*weights.add(index)), value, sum);
            }
            let sum = V::multiply(sum, V::splat(inverse));
            if lanes == V::LANES {
                V::store(out.add(first), sum);
            } else {
                V::store_part(out.add(first), lanes, sum);
            }
            first += lanes;
        }
    }
}
