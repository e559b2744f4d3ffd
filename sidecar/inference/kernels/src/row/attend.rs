//! Attention of one query to rows that lie apart.

use super::softmax::softmax_weights;
use crate::vector::Vector;

/// The sum of the products of two rows.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers of each.
#[inline(always)]
unsafe fn dot<V: Vector>(left: *const f32, right: *const f32, count: usize) -> f32 {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let mut sum = V::splat(0.0);
        let mut at = 0;
        while at + V::LANES <= count {
            sum = V::multiply_add(V::load(left.add(at)), V::load(right.add(at)), sum);
            at += V::LANES;
        }
        if at < count {
            let left = V::load_part(left.add(at), count - at, 0.0);
            sum = V::multiply_add(left, V::load_part(right.add(at), count - at, 0.0), sum);
        }
        V::sum(sum)
    }
}

/// Attention of one query of one head to rows of keys and values that lie apart: `offsets` says where each is.
pub(crate) struct Attend {
    pub(crate) query: *const f32,
    pub(crate) keys: *const f32,
    pub(crate) values: *const f32,
    /// Where each key's row starts from `keys`, and each value's from `values`, in numbers.
    pub(crate) offsets: *const usize,
    /// How many keys there are; not 0.
    pub(crate) count: usize,
    /// Numbers of a head.
    pub(crate) width: usize,
    pub(crate) scale: f32,
    /// Space for `count` numbers.
    pub(crate) scores: *mut f32,
    /// Space for `width` numbers.
    pub(crate) out: *mut f32,
}

/// # Safety
/// As [`Vector`]; everything leads to as much as its description says.
#[inline(always)]
pub(crate) unsafe fn attend<V: Vector>(work: &Attend) {
    // SAFETY: the caller's promise.
    unsafe {
        for index in 0..work.count {
            let key = work.keys.add(*work.offsets.add(index));
            *work.scores.add(index) = dot::<V>(work.query, key, work.width) * work.scale;
        }
        let inverse = softmax_weights::<V>(work.scores, work.count, work.count);
        // Four vectors of a head's values at a time: with 16 lanes a head of 64 takes one pass.
        let mut first = 0;
        while first + 4 * V::LANES <= work.width {
            let mut sums = [V::splat(0.0); 4];
            for index in 0..work.count {
                let weight = V::splat(*work.scores.add(index));
                let value = work.values.add(*work.offsets.add(index) + first);
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = V::multiply_add(weight, V::load(value.add(part * V::LANES)), *sum);
                }
            }
            for (part, sum) in sums.into_iter().enumerate() {
                let out = work.out.add(first + part * V::LANES);
                V::store(out, V::multiply(sum, V::splat(inverse)));
            }
            first += 4 * V::LANES;
        }
        while first < work.width {
            let count = V::LANES.min(work.width - first);
            let mut sum = V::splat(0.0);
            for index in 0..work.count {
                let value = work.values.add(*work.offsets.add(index) + first);
                let value = if count == V::LANES { V::load(value) } else { V::load_part(value, count, 0.0) };
                sum = V::multiply_add(V::splat(*work.scores.add(index)), value, sum);
            }
            let sum = V::multiply(sum, V::splat(inverse));
            if count == V::LANES {
                V::store(work.out.add(first), sum);
            } else {
                V::store_part(work.out.add(first), count, sum);
            }
            first += count;
        }
    }
}
