//! What is done to every lane of a row, or folded over all of them.

use super::exponential::{exp, gelu, rough_gelu, silu};
use crate::vector::Vector;

/// What becomes of each lane. These are types rather than closures, because a closure cannot be `inline(always)`, and
/// one that is not inlined has none of the set's instructions.
pub(super) trait Map<V: Vector>: Copy {
    /// # Safety
    /// As [`Vector`].
    unsafe fn of(self, value: V::F32) -> V::F32;
}

/// How a lane is taken into what was folded before.
pub(super) trait Fold<V: Vector>: Copy {
    /// # Safety
    /// As [`Vector`].
    unsafe fn of(self, folded: V::F32, value: V::F32) -> V::F32;
}

macro_rules! functions {
    ($($trait:ident $name:ident$(($($field:ident),+))? |$($argument:ident),+| $body:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            pub(super) struct $name$(($(pub(super) functions!(@f32 $field)),+))?;
            impl<V: Vector> $trait<V> for $name {
                #[inline(always)]
                unsafe fn of(self, $($argument: V::F32),+) -> V::F32 {
                    $(let Self($($field),+) = self;)?
                    // SAFETY: the caller's promise.
                    unsafe { $body }
                }
            }
        )*
    };
    (@f32 $field:ident) => { f32 };
}

functions! {
    Map Gelu |value| gelu::<V>(value);
    Map RoughGelu |value| rough_gelu::<V>(value);
    Map Silu |value| silu::<V>(value);
    Map Relu |value| V::maximum(value, V::splat(0.0));
    Map Times(factor) |value| V::multiply(value, V::splat(factor));
    Map Plus(more) |value| V::add(value, V::splat(more));
    Fold Sum |sum, value| V::add(sum, value);
    Fold Greatest |most, value| V::maximum(most, value);
    Fold GreatestMagnitude |most, value| V::maximum(most, V::absolute(value));
    // Nothing but infinities and what is no number leaves a trace.
    Fold Traces |traces, value| V::add(traces, V::multiply(value, V::splat(0.0)));
    Fold SumOfSquares(mean) |sum, value| {
        let deviation = V::subtract(value, V::splat(mean));
        V::multiply_add(deviation, deviation, sum)
    };
    Fold SumOfExp(most) |sum, value| V::add(sum, exp::<V>(V::subtract(value, V::splat(most))));
}

/// Replaces each number by what `of` makes of it.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers.
#[inline(always)]
pub(super) unsafe fn map<V: Vector, M: Map<V>>(row: *mut f32, count: usize, map: M) {
    let mut at = 0;
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        while at + V::LANES <= count {
            V::store(row.add(at), map.of(V::load(row.add(at))));
            at += V::LANES;
        }
        if at < count {
            V::store_part(row.add(at), count - at, map.of(V::load_part(row.add(at), count - at, 0.0)));
        }
    }
}

/// Folds a row of numbers into one vector that starts as `start`; lanes behind the end are `rest`.
///
/// # Safety
/// As [`Vector`]; there are `count` numbers.
#[inline(always)]
pub(super) unsafe fn fold<V: Vector, F: Fold<V>>(
    row: *const f32,
    count: usize,
    start: f32,
    rest: f32,
    fold: F,
) -> V::F32 {
    // SAFETY: `at` and the lanes behind it stay within `count`.
    unsafe {
        let mut folded = V::splat(start);
        let mut at = 0;
        while at + V::LANES <= count {
            folded = fold.of(folded, V::load(row.add(at)));
            at += V::LANES;
        }
        if at < count {
            folded = fold.of(folded, V::load_part(row.add(at), count - at, rest));
        }
        folded
    }
}
