//! Rows on their way through layers, shared out to the threads of a job.

use ostler_kernels::{InputRow, Inputs, Kernels, Lanes, LayerNorm, Linear, Write};

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

/// Space for rows between layers, used again and again.
pub(super) struct Workspace<'a> {
    pub(super) lanes: &'a Lanes<'a>,
    pub(super) kernels: Kernels,
    width: usize,
    inputs: Inputs,
    wide: Vec<f32>,
    /// A row for each thread.
    rows: Vec<Vec<f32>>,
}

impl<'a> Workspace<'a> {
    /// Space for `rows` rows of states of `width` numbers, and of `inner` numbers within feed-forward blocks.
    pub(super) fn new(
        lanes: &'a Lanes<'a>,
        kernels: Kernels,
        rows: usize,
        width: usize,
        inner: usize,
    ) -> Self {
        Self {
            lanes,
            kernels,
            width,
            inputs: Inputs::new(rows, width.max(inner)),
            wide: vec![0.0; rows * inner],
            rows: vec![vec![0.0; width]; lanes.threads()],
        }
    }

    /// Rounds rows of states for a layer.
    pub(super) fn enter(&mut self, layer: &Linear, states: &mut [f32], entry: Entry<'_>) {
        let kernels = self.kernels;
        prepare(
            self.lanes,
            layer,
            &mut self.inputs,
            &mut self.rows,
            states,
            |row, place, copy| match entry {
                Entry::AsIs => place.set(row),
                Entry::Normalised(norm) => {
                    kernels.layer_norm_in_place(norm, row);
                    place.set(row);
                }
                Entry::NormalisedCopy(norm) => {
                    kernels.layer_norm(norm, row, copy);
                    place.set(copy);
                }
            },
        );
    }

    /// The products of a layer with the rows that entered last.
    pub(super) fn apply(&self, layer: &Linear, out: &mut [f32], write: Write) {
        let stride = layer.outputs();
        layer.forward(self.lanes, &self.inputs, out.len() / stride, out, stride, write);
    }

    /// The linear layer that ends an attention, added to the states.
    pub(super) fn add(&mut self, layer: &Linear, seen: &mut [f32], states: &mut [f32]) {
        self.enter(layer, seen, Entry::AsIs);
        self.apply(layer, states, Write::Add);
    }

    /// A feed-forward block, added to the states.
    pub(super) fn feed_forward(&mut self, block: &FeedForward, states: &mut [f32], entry: Entry<'_>) {
        self.enter(&block.widen, states, entry);
        let inner = block.widen.outputs();
        let mut wide = std::mem::take(&mut self.wide);
        let used = &mut wide[..states.len() / self.width * inner];
        self.apply(&block.widen, used, Write::Set);
        let (kernels, activation) = (self.kernels, block.activation);
        prepare(self.lanes, &block.narrow, &mut self.inputs, &mut self.rows, used, |row, place, _| {
            activation.apply(kernels, row);
            place.set(row);
        });
        self.wide = wide;
        self.apply(&block.narrow, states, Write::Add);
    }
}

/// Calls `each` with every row, its place for `layer`, and a row of scratch space.
fn prepare(
    lanes: &Lanes<'_>,
    layer: &Linear,
    inputs: &mut Inputs,
    scratch: &mut [Vec<f32>],
    rows: &mut [f32],
    each: impl Fn(&mut [f32], InputRow<'_>, &mut [f32]) + Sync,
) {
    let width = layer.inputs();
    let count = rows.len() / width;
    let mut places = layer.places(inputs, count);
    if rows.len() < SHARED_NUMBERS {
        if let Some(scratch) = scratch.first_mut() {
            rows.chunks_exact_mut(width).zip(places).for_each(|(row, place)| each(row, place, scratch));
        }
        return;
    }
    let share = count.div_ceil(2 * lanes.threads());
    let tasks: Vec<(Vec<InputRow<'_>>, &mut [f32])> = rows
        .chunks_mut(share * width)
        .map(|rows| (places.by_ref().take(rows.len() / width).collect(), rows))
        .collect();
    lanes.for_each_with(tasks, scratch, |(places, rows), scratch| {
        rows.chunks_exact_mut(width).zip(places).for_each(|(row, place)| each(row, place, scratch));
    });
}
