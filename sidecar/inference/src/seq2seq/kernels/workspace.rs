//! Rows on their way through layers, shared out to the threads of a job.

use ostler_kernels::{InputRow, Inputs, Lanes, LayerNorm, Linear, Write};

use super::attention::Cache;
use super::layers::FeedForward;
use crate::seq2seq::architecture::NormPlacement;

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
    /// Space for `rows` rows of states of `width` numbers, and of `inner` numbers within feed-forward blocks.
    pub(super) fn new(threads: usize, rows: usize, width: usize, inner: usize) -> Self {
        Self {
            width,
            inner,
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
    pub(super) fn resize(&mut self, rows: usize) {
        if rows > self.capacity {
            *self = Self::new(self.scores.len(), rows, self.width, self.inner);
        }
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

    /// The products of a layer with the rows that entered last, each `stride` numbers behind the one before.
    pub(super) fn apply(&self, lanes: &Lanes<'_>, layer: &Linear, out: &mut [f32], stride: usize) {
        layer.forward(lanes, &self.rounding.inputs, out.len() / stride, out, stride, Write::Set);
    }

    /// What a layer makes of the rows that entered last asks in the next attention.
    pub(super) fn ask(&mut self, lanes: &Lanes<'_>, layer: &Linear) {
        self.rounding.apply(lanes, layer, &mut self.queries, Write::Set);
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
