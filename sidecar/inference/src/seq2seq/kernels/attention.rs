//! Attention of rows to keys and values that lie in a cache, heads side by side in each of its rows.

use ostler_kernels::{Kernels, Lanes};

/// From so many products on it pays to share rows out to threads.
const SHARED_PRODUCTS: usize = 1 << 16;

/// How attention is split into heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) width: usize,
    pub(super) count: usize,
}

/// Keys and values: each row of the cache has `width` numbers of keys, then as many of values
/// ([`Architecture::cache_row`](crate::seq2seq::architecture::Architecture::cache_row)).
#[derive(Clone, Copy)]
pub(super) struct Cache<'a> {
    pub(super) rows: &'a [f32],
    pub(super) heads: Heads,
}

impl Cache<'_> {
    /// What each query row sees: `offsets` gives the rows of the cache that it looks at, as the places where they
    /// begin. `queries` and `seen` have a row for each; `scores` has space for one thread each.
    pub(super) fn attend<'o>(
        &self,
        kernels: Kernels,
        lanes: &Lanes<'_>,
        queries: &[f32],
        offsets: impl Fn(usize) -> &'o [usize] + Sync,
        scores: &mut [Vec<f32>],
        seen: &mut [f32],
    ) {
        let width = self.heads.width;
        let count = queries.len() / width;
        let products: usize = (0..count).map(|row| offsets(row).len() * width).sum();
        let share = if products < SHARED_PRODUCTS { count } else { count.div_ceil(4 * lanes.threads()) };
        let blocks = queries.chunks(share * width).zip(seen.chunks_mut(share * width));
        let tasks: Vec<_> = blocks.enumerate().collect();
        lanes.for_each_with(tasks, scores, |(block, (queries, seen)), scores| {
            for (row, (query, seen)) in
                queries.chunks_exact(width).zip(seen.chunks_exact_mut(width)).enumerate()
            {
                self.attend_row(kernels, query, offsets(block * share + row), scores, seen);
            }
        });
    }

    fn attend_row(
        &self,
        kernels: Kernels,
        queries: &[f32],
        offsets: &[usize],
        scores: &mut Vec<f32>,
        seen: &mut [f32],
    ) {
        let Heads { width, count } = self.heads;
        let head_width = width / count;
        let scale = (head_width as f32).powf(-0.5);
        let needed = count * offsets.len();
        if scores.len() < needed {
            scores.resize(needed.next_multiple_of(512), 0.0);
        }
        let (keys, values) = (self.rows, &self.rows[width..]);
        kernels.attend_rows(queries, keys, values, offsets, head_width, scale, scores, seen);
    }
}
