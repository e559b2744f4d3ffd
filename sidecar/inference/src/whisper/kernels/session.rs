//! Rows of tokens that are being continued.
//!
//! Keys and values of the tokens are written once and never moved: a row is a list of where its own lie, so beams
//! share what they have in common, and changing places costs nothing but the lists.

use ostler_kernels::{AttentionScratch, Inputs, Rows, Team, Write};

use super::decoder::{Decoder, WindowMemory};
use super::step::{Cache, Group, Item, Row, Step, Work};
use crate::engine::{Control, EngineError};
use crate::whisper::forward::{AlignmentHead, Session};

/// Tokens that attend to a window at once.
const QUERIES: usize = 48;

pub(in crate::whisper) struct KernelSession<'a> {
    decoder: &'a Decoder,
    team: &'a Team,
    rows: Vec<Row<'a>>,
    /// The most tokens of a row.
    positions: usize,
    /// For each layer the keys and the values of every token that was read, `width` numbers each.
    caches: Vec<Cache>,
    work: Work,
}

impl<'a> KernelSession<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        team: &'a Team,
        memories: &[&'a WindowMemory],
        positions: usize,
    ) -> Self {
        let rows = memories.iter().map(|memory| Row { memory, places: Vec::new() }).collect();
        let caches = vec![Cache::default(); decoder.layers.len()];
        let positions = positions.min(decoder.most_positions);
        Self { decoder, team, rows, positions, caches, work: Work::default() }
    }

    /// How `heads` look at the first row's window while `tokens` are read.
    pub(super) fn align(
        &mut self,
        tokens: &[u32],
        heads: &[AlignmentHead],
        control: &Control,
    ) -> Result<Vec<f32>, EngineError> {
        let count =
            self.rows.first().and_then(|row| row.memory.layers.first()).map_or(0, |layer| layer.count());
        let mut found: Vec<Vec<f32>> = vec![Vec::new(); heads.len()];
        let scale = (self.decoder.head_width() as f32).powf(-0.5);
        let (width, head_width) = (self.decoder.width, self.decoder.head_width());
        let watch = |layer: usize, memory: &WindowMemory, queries: &[f32], scratch: &mut AttentionScratch| {
            for (head, found) in heads.iter().zip(&mut found).filter(|(head, _)| head.layer == layer) {
                let queries = Rows {
                    data: &queries[head.head * head_width..],
                    stride: width,
                    count: queries.len() / width,
                };
                let begun = found.len();
                found.resize(begun + queries.count * count, 0.0);
                memory.layers[layer].weights(head.head, queries, scale, scratch, &mut found[begun..]);
            }
        };
        self.read(&[tokens], 0, control, watch)?;
        Ok(found.concat())
    }

    /// Reads tokens into the rows; their states are then in `work.states`, and there is room for the inputs of
    /// `wanted` rows of logits. `watch` is shown the queries with which
    /// each group of tokens looks at its window, layer by layer.
    fn read(
        &mut self,
        tokens: &[&[u32]],
        wanted: usize,
        control: &Control,
        mut watch: impl FnMut(usize, &WindowMemory, &[f32], &mut AttentionScratch),
    ) -> Result<(), EngineError> {
        control.check()?;
        let decoder = self.decoder;
        let lanes = self.team.enter();
        let items = self.begin(tokens)?;
        let groups = self.groups(tokens);
        self.work.make_room(decoder, &lanes, [items.len(), wanted], self.positions, &groups);
        for ((item, token), state) in items
            .iter()
            .zip(tokens.iter().copied().flatten())
            .zip(self.work.states.chunks_exact_mut(decoder.width))
        {
            if *token as usize >= decoder.vocabulary() {
                return Err(EngineError::InvalidInput {
                    parameter: "tokens",
                    message: format!("hold {token}; there are {}", decoder.vocabulary()),
                });
            }
            decoder.embed(*token, item.sees - 1, state);
        }
        for (number, (layer, cache)) in decoder.layers.iter().zip(&mut self.caches).enumerate() {
            let step = Step { decoder, layer, lanes: &lanes, items: &items, rows: &self.rows };
            step.attend_to_tokens(cache, &mut self.work);
            step.attend_to_windows(number, &groups, &mut self.work, &mut watch);
            step.feed_forward(&mut self.work);
        }
        Ok(())
    }

    /// Gives the tokens their places.
    fn begin(&mut self, tokens: &[&[u32]]) -> Result<Vec<Item>, EngineError> {
        let width = self.decoder.width;
        let mut place = self.caches.first().map_or(0, |cache| cache.keys.len());
        let mut items = Vec::with_capacity(tokens.iter().map(|row| row.len()).sum());
        for (index, (row, tokens)) in self.rows.iter_mut().zip(tokens).enumerate() {
            for _ in *tokens {
                row.places.push(place);
                place += width;
                items.push(Item { row: index, sees: row.places.len() });
            }
            if row.places.len() > self.positions {
                return Err(EngineError::InvalidInput {
                    parameter: "tokens",
                    message: format!("are {}; there are {} positions", row.places.len(), self.positions),
                });
            }
        }
        Ok(items)
    }

    /// Tokens that look at the same window, at most [`QUERIES`] of them.
    fn groups(&self, tokens: &[&[u32]]) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut begun = 0;
        for (row, tokens) in self.rows.iter().zip(tokens) {
            for token in begun..begun + tokens.len() {
                match groups.last_mut() {
                    Some(group) if std::ptr::eq(group.memory, row.memory) && group.tokens.len() < QUERIES => {
                        group.tokens.end = token + 1;
                    }
                    _ => groups.push(Group { memory: row.memory, tokens: token..token + 1 }),
                }
            }
            begun += tokens.len();
        }
        groups
    }
}

impl Session for KernelSession<'_> {
    fn feed(
        &mut self,
        tokens: &[&[u32]],
        wanted: &[usize],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError> {
        self.read(tokens, tokens.len() * wanted.len(), control, |_, _, _, _| {})?;
        let Decoder { output, norm, width, .. } = self.decoder;
        let time = tokens.first().map_or(0, |row| row.len());
        let lanes = self.team.enter();
        let rows = tokens.len() * wanted.len();
        let Work { states, inputs, row, .. } = &mut self.work;
        let Some(inputs) = inputs else { return Ok(()) };
        let chosen = (0..tokens.len()).flat_map(|row| wanted.iter().map(move |place| row * time + place));
        for (place, chosen) in output.places(inputs, rows).zip(chosen) {
            output.kernels().layer_norm(norm, &states[chosen * width..][..*width], row);
            place.set(row);
        }
        logits.resize(rows * output.outputs(), 0.0);
        output.forward(&lanes, inputs, rows, logits, output.outputs(), Write::Set);
        Ok(())
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError> {
        self.rows = parents.iter().filter_map(|parent| self.rows.get(*parent).cloned()).collect();
        Ok(())
    }

    fn fork(&self, rows: &[usize]) -> Result<Self, EngineError> {
        Ok(Self {
            decoder: self.decoder,
            team: self.team,
            rows: rows.iter().filter_map(|row| self.rows.get(*row).cloned()).collect(),
            positions: self.positions,
            caches: self.caches.clone(),
            work: Work::default(),
        })
    }
}

/// The most bytes that reading tokens into `rows` rows on each of `windows` takes: at first the longest prompt of
/// each window, then a token a row.
pub(super) fn scratch_bytes(decoder: &Decoder, threads: usize, windows: usize, rows: usize) -> u64 {
    let (width, inner) = (decoder.width, decoder.feed_forward);
    let tokens = windows * rows.max(decoder.most_positions / 2 + 4);
    let states = (tokens * (5 * width + inner) * 4) as u64 + Inputs::space_bytes(tokens, width.max(inner));
    let keys = decoder.source_positions;
    let attention = AttentionScratch::space_bytes(decoder.memory, QUERIES, keys, decoder.head_width())
        + (decoder.most_positions * 4) as u64;
    // Logits, those after the prompt, and what a search keeps of both.
    let logits = (4 * windows * rows.max(2) * decoder.tokens * 4) as u64;
    states + threads as u64 * attention + logits
}
