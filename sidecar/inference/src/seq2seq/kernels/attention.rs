//! Attention of rows to keys and values that lie in a cache, heads side by side in each of its rows.

use ostler_kernels::{Context, Format, Kernels, Lanes};

/// From so many products on it pays to share rows out to threads.
const SHARED_PRODUCTS: usize = 1 << 16;

/// How attention is split into heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) width: usize,
    pub(super) count: usize,
}

/// Keys and values of tokens, one after another: each row has `width` numbers of keys, then as many of values
/// ([`Architecture::cache_row`](crate::seq2seq::architecture::Architecture::cache_row)).
pub(super) enum Memory {
    Float32(Vec<f32>),
    Bfloat16(Vec<u16>),
}

/// A look at keys and values.
#[derive(Clone, Copy)]
pub(super) struct Cache<'a> {
    /// From the first key on; a value starts where its key does.
    pub(super) context: Context<'a>,
    pub(super) heads: Heads,
}

impl Memory {
    /// Without rows, of numbers in the format of products among activations.
    pub(super) fn new(products: Format) -> Self {
        if products == Format::Float32 { Self::Float32(Vec::new()) } else { Self::Bfloat16(Vec::new()) }
    }

    /// What a number takes in it.
    pub(super) fn number_bytes(products: Format) -> usize {
        if products == Format::Float32 { size_of::<f32>() } else { size_of::<u16>() }
    }

    /// Appends rows.
    pub(super) fn push(&mut self, kernels: Kernels, rows: &[f32]) {
        match self {
            Self::Float32(numbers) => numbers.extend_from_slice(rows),
            Self::Bfloat16(numbers) => {
                let first = numbers.len();
                numbers.resize(first + rows.len(), 0);
                kernels.to_bfloat16(rows, &mut numbers[first..]);
            }
        }
    }

    /// All rows.
    pub(super) fn cache(&self, heads: Heads) -> Cache<'_> {
        let width = heads.width;
        let context = match self {
            Self::Float32(rows) => Context::Float32 { keys: rows, values: &rows[width..] },
            Self::Bfloat16(rows) => Context::Bfloat16 { keys: rows, values: &rows[width..] },
        };
        Cache { context, heads }
    }
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
        kernels.attend_rows(queries, self.context, offsets, head_width, scale, scores, seen);
    }
}
