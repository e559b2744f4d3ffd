//! Rows on their way through layers, shared out to the threads of a job.

use ostler_kernels::{Context, InputRow, Inputs, Lanes, LayerNorm, Linear, Write};

use super::attention::{Cache, Heads};
use super::layers::FeedForward;
use crate::seq2seq::architecture::{Architecture, NormPlacement};

/// From so many numbers on it pays to share the rounding of rows out to threads.
const SHARED_NUMBERS: usize = 1 << 14;

/// What happens to rows of states on their way into a sublayer.
#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    /// Nothing.
    AsIs,
    /// They are normalised, and go on so: the sublayer before ends with this norm.
    Normalised(&'a LayerNorm),
    /// They go in normalised and stay as they are: the sublayer begins with this norm.
    NormalisedCopy(&'a LayerNorm),
}

/// Which entry each sublayer has, in the order in which rows pass them.
pub(super) struct Entries<'a> {
    placement: NormPlacement,
    /// The norm that ends the sublayer before.
    pending: Option<&'a LayerNorm>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(placement: NormPlacement) -> Self {
        Self { placement, pending: None }
    }

    /// The entry of the next sublayer, whose norm this is.
    pub(super) fn next(&mut self, norm: &'a LayerNorm) -> Entry<'a> {
        match self.placement {
            NormPlacement::Before => Entry::NormalisedCopy(norm),
            NormPlacement::After => self.pending.replace(norm).map_or(Entry::AsIs, Entry::Normalised),
        }
    }

    /// The entry of what follows the last sublayer.
    pub(super) fn end(self, last_norm: Option<&'a LayerNorm>) -> Entry<'a> {
        match last_norm {
            Some(norm) => Entry::NormalisedCopy(norm),
            None => self.pending.map_or(Entry::AsIs, Entry::Normalised),
        }
    }
}

/// Space for rows on their way through layers: made once, used in every layer and at every step.
pub(super) struct Workspace {
    width: usize,
    inner: usize,
    cache_row: usize,
    /// How many rows there is space for.
    capacity: usize,
    /// Rows x width: what the sublayers add to.
    pub(super) states: Vec<f32>,
    /// Rows x width: what asks in an attention.
    queries: Vec<f32>,
    /// Rows x width: what it finds.
    seen: Vec<f32>,
    /// Rows x inner: within a feed-forward block.
    wide: Vec<f32>,
    /// A row of a cache for each row.
    pub(super) key_values: Vec<f32>,
    /// For each thread the scores of one query.
    scores: Vec<Vec<f32>>,
    rounding: Rounding,
}

/// Rows rounded to the format of the layer that takes them in.
struct Rounding {
    inputs: Inputs,
    /// For each thread a row.
    scratch: Vec<Vec<f32>>,
}

impl Workspace {
    /// Space for `rows` rows of the states of a model, and of `inner` numbers within feed-forward blocks.
    pub(super) fn new(threads: usize, rows: usize, model: &Architecture, inner: usize) -> Self {
        let (width, cache_row) = (model.width, model.cache_row());
        Self {
            width,
            inner,
            cache_row,
            key_values: vec![0.0; rows * cache_row],
            capacity: rows,
            states: vec![0.0; rows * width],
            queries: vec![0.0; rows * width],
            seen: vec![0.0; rows * width],
            wide: vec![0.0; rows * inner],
            scores: vec![Vec::new(); threads],
            rounding: Rounding {
                inputs: Inputs::new(rows, width.max(inner)),
                scratch: vec![vec![0.0; width]; threads],
            },
        }
    }

    /// Goes on with so many rows. For fewer than before the space stays, so that no step waits for the system to give
    /// memory.
    pub(super) fn resize(&mut self, rows: usize, model: &Architecture) {
        if rows > self.capacity {
            *self = Self::new(self.scores.len(), rows, model, self.inner);
        }
        self.key_values.resize(rows * self.cache_row, 0.0);
        for buffer in [&mut self.states, &mut self.queries, &mut self.seen] {
            buffer.resize(rows * self.width, 0.0);
        }
        self.wide.resize(rows * self.inner, 0.0);
    }

    /// Rounds the states for a layer.
    pub(super) fn enter(&mut self, lanes: &Lanes<'_>, layer: &Linear, entry: Entry<'_>) {
        let kernels = layer.kernels();
        self.rounding.set(lanes, layer, &mut self.states, |row, place, copy| match entry {
            Entry::AsIs => place.set(row),
            Entry::Normalised(norm) => {
                kernels.layer_norm_in_place(norm, row);
                place.set(row);
            }
            Entry::NormalisedCopy(norm) => {
                kernels.layer_norm(norm, row, copy);
                place.set(copy);
            }
        });
    }

    /// The products of a layer with the rows that entered last.
    pub(super) fn apply(&self, lanes: &Lanes<'_>, layer: &Linear, out: &mut [f32]) {
        self.rounding.apply(lanes, layer, out, Write::Set);
    }

    /// What a layer makes of the rows that entered last are keys and values.
    pub(super) fn remember(&mut self, lanes: &Lanes<'_>, layer: &Linear) {
        let Self { rounding, key_values, cache_row, .. } = self;
        let rows = key_values.len() / *cache_row;
        layer.forward(lanes, &rounding.inputs, rows, key_values, *cache_row, Write::Set);
    }

    /// What a layer makes of the rows that entered last asks in the next attention.
    pub(super) fn ask(&mut self, lanes: &Lanes<'_>, layer: &Linear) {
        self.rounding.apply(lanes, layer, &mut self.queries, Write::Set);
    }

    /// An attention of the rows to the keys and values that the last [`Workspace::remember`] made, else as
    /// [`Workspace::attend`].
    pub(super) fn attend_here<'o>(
        &mut self,
        lanes: &Lanes<'_>,
        heads: Heads,
        offsets: impl Fn(usize) -> &'o [usize] + Sync,
        out: &Linear,
    ) {
        let key_values = std::mem::take(&mut self.key_values);
        let context = Context::Float32 { keys: &key_values, values: &key_values[heads.width..] };
        self.attend(lanes, Cache { context, heads }, offsets, out);
        self.key_values = key_values;
    }

    /// An attention to a cache, of which `offsets` gives what each row sees, and the linear layer that ends it, added
    /// to the states.
    pub(super) fn attend<'o>(
        &mut self,
        lanes: &Lanes<'_>,
        cache: Cache<'_>,
        offsets: impl Fn(usize) -> &'o [usize] + Sync,
        out: &Linear,
    ) {
        let Self { states, queries, seen, scores, rounding, .. } = self;
        cache.attend(out.kernels(), lanes, queries, offsets, scores, seen);
        rounding.set(lanes, out, seen, |row, place, _| place.set(row));
        rounding.apply(lanes, out, states, Write::Add);
    }

    /// A feed-forward block, added to the states.
    pub(super) fn feed_forward(&mut self, lanes: &Lanes<'_>, block: &FeedForward, entry: Entry<'_>) {
        self.enter(lanes, &block.widen, entry);
        let Self { states, wide, rounding, .. } = self;
        rounding.apply(lanes, &block.widen, wide, Write::Set);
        let (kernels, activation) = (block.widen.kernels(), block.activation);
        rounding.set(lanes, &block.narrow, wide, |row, place, _| {
            activation.apply(kernels, row);
            place.set(row);
        });
        rounding.apply(lanes, &block.narrow, states, Write::Add);
    }
}

impl Rounding {
    /// The products of a layer with the rows that were set last.
    fn apply(&self, lanes: &Lanes<'_>, layer: &Linear, out: &mut [f32], write: Write) {
        let stride = layer.outputs();
        layer.forward(lanes, &self.inputs, out.len() / stride, out, stride, write);
    }

    /// Calls `each` with every row, its place for `layer`, and a row of scratch space.
    fn set(
        &mut self,
        lanes: &Lanes<'_>,
        layer: &Linear,
        rows: &mut [f32],
        each: impl Fn(&mut [f32], InputRow<'_>, &mut [f32]) + Sync,
    ) {
        let width = layer.inputs();
        let count = rows.len() / width;
        let mut places = layer.places(&mut self.inputs, count);
        if rows.len() < SHARED_NUMBERS {
            if let Some(scratch) = self.scratch.first_mut() {
                rows.chunks_exact_mut(width).zip(places).for_each(|(row, place)| each(row, place, scratch));
            }
            return;
        }
        let share = count.div_ceil(2 * lanes.threads());
        let tasks: Vec<(Vec<InputRow<'_>>, &mut [f32])> = rows
            .chunks_mut(share * width)
            .map(|rows| (places.by_ref().take(rows.len() / width).collect(), rows))
            .collect();
        lanes.for_each_with(tasks, &mut self.scratch, |(places, rows), scratch| {
            rows.chunks_exact_mut(width).zip(places).for_each(|(row, place)| each(row, place, scratch));
        });
    }
}
