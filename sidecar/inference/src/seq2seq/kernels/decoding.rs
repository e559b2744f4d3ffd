//! Rows that are being decoded, all of them one token further at each step.

use ostler_kernels::Lanes;

use super::attention::{Heads, Memory};
use super::workspace::{Entries, Workspace};
use super::{Encoded, KernelModel};
use crate::engine::{Control, EngineError};
use crate::generate::Decoder;

/// Rows in the middle of decoding.
pub(super) struct Decoding<'a> {
    model: &'a KernelModel,
    lanes: Lanes<'a>,
    encoded: Encoded,
    /// For each layer the keys and values of every row at every step, in the order in which they came.
    caches: Vec<Memory>,
    /// How many rows each cache has.
    cached: usize,
    rows: Vec<Row>,
    position: usize,
    work: Workspace,
}

/// A row: a sentence, and the tokens that it was fed.
#[derive(Clone)]
struct Row {
    sentence: usize,
    /// Where the keys and values of its tokens begin in the caches.
    past: Vec<usize>,
}

impl<'a> Decoding<'a> {
    /// One row for each encoded sentence.
    pub(super) fn new(model: &'a KernelModel, encoded: Encoded, sentences: usize) -> Self {
        let lanes = model.processor.team().enter();
        Self {
            model,
            work: Workspace::new(
                lanes.threads(),
                sentences,
                &model.architecture,
                model.architecture.decoder.feed_forward,
            ),
            lanes,
            encoded,
            caches: model.decoder.iter().map(|_| Memory::new(model.products)).collect(),
            cached: 0,
            rows: (0..sentences).map(|sentence| Row { sentence, past: Vec::new() }).collect(),
            position: 0,
        }
    }

    /// Feeds one token to each row; `logits` gets what follows, where it is wanted.
    fn feed(
        &mut self,
        tokens: &[u32],
        logits: Option<&mut Vec<f32>>,
        control: &Control,
    ) -> Result<(), EngineError> {
        let model = self.model;
        let architecture = &model.architecture;
        let (width, cache_row) = (architecture.width, architecture.cache_row());
        let heads = Heads { width, count: architecture.decoder.heads };
        let count = tokens.len();
        let Self { lanes, encoded, caches, rows, work, .. } = self;
        work.resize(count, architecture);
        for (state, token) in work.states.chunks_exact_mut(width).zip(tokens) {
            model.embed_target(*token, self.position, state);
        }
        for (number, row) in rows.iter_mut().enumerate() {
            row.past.push((self.cached + number) * cache_row);
        }
        let mut entries = Entries::new(architecture.norm_placement);
        for ((layer, cache), memory) in model.decoder.iter().zip(caches).zip(&encoded.memory) {
            control.check()?;
            let attention = &layer.attention;
            work.enter(lanes, &attention.query, entries.next(&attention.norm));
            work.ask(lanes, &attention.query);
            work.remember(lanes, &attention.key_value);
            cache.push(attention.key_value.kernels(), &work.key_values);
            let own = |row: usize| rows[row].past.as_slice();
            work.attend(lanes, cache.cache(heads), own, &attention.out);

            let attention = &layer.cross_attention;
            work.enter(lanes, &attention.query, entries.next(&attention.norm));
            work.ask(lanes, &attention.query);
            let of_sentence = |row: usize| encoded.offsets[rows[row].sentence].as_slice();
            work.attend(lanes, memory.cache(heads), of_sentence, &attention.out);

            let block = &layer.feed_forward;
            work.feed_forward(lanes, block, entries.next(&block.norm));
        }
        if let Some(logits) = logits {
            work.enter(lanes, &model.output, entries.end(model.decoder_norm.as_ref()));
            logits.resize(count * model.output.outputs(), 0.0);
            work.apply(lanes, &model.output, logits);
        }
        self.cached += count;
        self.position += 1;
        Ok(())
    }
}

impl Decoder for Decoding<'_> {
    fn vocabulary(&self) -> usize {
        self.model.architecture.target_vocabulary
    }

    fn step(
        &mut self,
        tokens: &[Vec<u32>],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError> {
        let length = tokens.first().map_or(0, Vec::len);
        for place in 0..length {
            let column: Vec<u32> = tokens.iter().filter_map(|row| row.get(place).copied()).collect();
            let is_last = place + 1 == length;
            self.feed(&column, is_last.then_some(&mut *logits), control)?;
        }
        Ok(())
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError> {
        self.rows = parents.iter().map(|parent| self.rows[*parent].clone()).collect();
        Ok(())
    }

    fn lanes(&self) -> Option<&Lanes<'_>> {
        Some(&self.lanes)
    }
}
