//! Rows of tokens that are being continued.
//!
//! Keys and values of the tokens are written once and never moved: a row is a list of where its own lie, so beams
//! share what they have in common, and changing places costs nothing but the lists.

use std::ops::Range;

use ostler_kernels::{Activation, AttentionScratch, Inputs, Lanes, Rows, Team, Write};

use super::decoder::{Decoder, DecoderLayer, WindowMemory};
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

#[derive(Clone)]
struct Row<'a> {
    memory: &'a WindowMemory,
    /// For each of its tokens where its keys and values start in the caches.
    places: Vec<usize>,
}

#[derive(Clone, Default)]
struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Space for one step; it grows to what the largest step needs.
#[derive(Default)]
struct Work {
    states: Vec<f32>,
    row: Vec<f32>,
    projected: Vec<f32>,
    seen: Vec<f32>,
    wide: Vec<f32>,
    inputs: Option<Inputs>,
    /// How many rows of inputs there is space for.
    input_rows: usize,
    threads: Vec<ThreadScratch>,
}

struct ThreadScratch {
    attention: AttentionScratch,
    /// What the attention scratch was made for.
    queries: usize,
    keys: usize,
    scores: Vec<f32>,
}

/// Tokens next to each other that look at the same window.
struct Group<'a> {
    memory: &'a WindowMemory,
    tokens: Range<usize>,
}

/// A token on its way through the layers: its row's places up to itself.
struct Item {
    row: usize,
    /// How many tokens of the row it sees, itself included.
    sees: usize,
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

impl Work {
    fn make_room(
        &mut self,
        decoder: &Decoder,
        lanes: &Lanes<'_>,
        [tokens, wanted]: [usize; 2],
        positions: usize,
        groups: &[Group<'_>],
    ) {
        let (width, inner) = (decoder.width, decoder.feed_forward);
        self.row.resize(width, 0.0);
        self.states.resize(tokens * width, 0.0);
        self.projected.resize(tokens * 3 * width, 0.0);
        self.seen.resize(tokens * width, 0.0);
        self.wide.resize(tokens * inner, 0.0);
        let rows = tokens.max(wanted);
        if self.input_rows < rows {
            self.inputs = Some(Inputs::new(rows, width.max(inner)));
            self.input_rows = rows;
        }
        let keys = groups.iter().filter_map(|group| group.memory.layers.first()).map(|layer| layer.count());
        let keys = keys.max().unwrap_or(0);
        let queries = groups.iter().map(|group| group.tokens.len()).max().unwrap_or(0);
        let fits = |scratch: &ThreadScratch| scratch.fits(queries, keys, positions);
        if self.threads.len() < lanes.threads() || !self.threads.iter().all(fits) {
            self.threads = (0..lanes.threads())
                .map(|_| ThreadScratch::new(queries, keys, decoder.head_width(), positions))
                .collect();
        }
    }
}

/// One layer's part of reading some tokens.
struct Step<'a> {
    decoder: &'a Decoder,
    layer: &'a DecoderLayer,
    lanes: &'a Lanes<'a>,
    items: &'a [Item],
    rows: &'a [Row<'a>],
}

impl Step<'_> {
    fn scale(&self) -> f32 {
        (self.decoder.head_width() as f32).powf(-0.5)
    }

    /// Adds to each token's state what it sees of its row's tokens up to itself.
    fn attend_to_tokens(&self, cache: &mut Cache, work: &mut Work) {
        let DecoderLayer { attention_norm, project, out, .. } = self.layer;
        let (width, head_width, heads) = (self.decoder.width, self.decoder.head_width(), self.decoder.heads);
        let Work { states, row, projected, seen, inputs: Some(inputs), threads, .. } = work else { return };
        let tokens = self.items.len();
        for (place, state) in project.places(inputs, tokens).zip(states.chunks_exact(width)) {
            project.kernels().layer_norm(attention_norm, state, row);
            place.set(row);
        }
        project.forward(self.lanes, inputs, tokens, projected, 3 * width, Write::Set);
        for projected in projected.chunks_exact(3 * width) {
            cache.keys.extend_from_slice(&projected[width..2 * width]);
            cache.values.extend_from_slice(&projected[2 * width..]);
        }
        let (cache, projected) = (&*cache, &*projected);
        // Every head of every token is a piece of work; the pieces go out in a few equal parts.
        let pieces = (tokens * heads).div_ceil(self.lanes.threads());
        let parts = seen.chunks_mut(pieces * head_width).enumerate().collect();
        let (scale, kernels) = (self.scale(), project.kernels());
        self.lanes.for_each_with(parts, threads, |(part, seen), scratch| {
            for (piece, seen) in seen.chunks_exact_mut(head_width).enumerate() {
                let piece = part * pieces + piece;
                let (token, first) = (piece / heads, piece % heads * head_width);
                let item = &self.items[token];
                kernels.attend_rows(
                    &projected[token * 3 * width + first..][..head_width],
                    &cache.keys[first..],
                    &cache.values[first..],
                    &self.rows[item.row].places[..item.sees],
                    scale,
                    &mut scratch.scores,
                    seen,
                );
            }
        });
        for (place, seen) in out.places(inputs, tokens).zip(seen.chunks_exact(width)) {
            place.set(seen);
        }
        out.forward(self.lanes, inputs, tokens, states, width, Write::Add);
    }

    /// Adds to each token's state what it sees of its row's window.
    fn attend_to_windows(
        &self,
        number: usize,
        groups: &[Group<'_>],
        work: &mut Work,
        watch: &mut impl FnMut(usize, &WindowMemory, &[f32], &mut AttentionScratch),
    ) {
        let DecoderLayer { cross_norm, cross_query, cross_out, .. } = self.layer;
        let (width, head_width) = (self.decoder.width, self.decoder.head_width());
        let Work { states, row, projected, seen, inputs: Some(inputs), threads, .. } = work else { return };
        let tokens = self.items.len();
        for (place, state) in cross_query.places(inputs, tokens).zip(states.chunks_exact(width)) {
            cross_query.kernels().layer_norm(cross_norm, state, row);
            place.set(row);
        }
        let queries = &mut projected[..tokens * width];
        cross_query.forward(self.lanes, inputs, tokens, queries, width, Write::Set);
        let queries = &*queries;
        if let Some(scratch) = threads.first_mut() {
            for group in groups {
                let queries = &queries[group.tokens.start * width..group.tokens.end * width];
                watch(number, group.memory, queries, &mut scratch.attention);
            }
        }
        // What a group sees lies head by head, so that each head's is one piece of memory.
        let mut rest = &mut seen[..];
        let mut parts = Vec::with_capacity(groups.len() * self.decoder.heads);
        for group in groups {
            let (own, others) = rest.split_at_mut(group.tokens.len() * width);
            rest = others;
            let heads = own.chunks_exact_mut(group.tokens.len() * head_width).enumerate();
            parts.extend(heads.map(|(head, seen)| (group, head, seen)));
        }
        let scale = self.scale();
        self.lanes.for_each_with(parts, threads, |(group, head, seen), scratch| {
            let queries = Rows {
                data: &queries[group.tokens.start * width + head * head_width..],
                stride: width,
                count: group.tokens.len(),
            };
            let memory = &group.memory.layers[number];
            memory.attend(head, queries, scale, &mut scratch.attention, seen, head_width);
        });
        let tokens_of_groups =
            groups.iter().flat_map(|group| group.tokens.clone().map(move |at| (group, at)));
        for (place, (group, token)) in cross_out.places(inputs, tokens).zip(tokens_of_groups) {
            let own = &seen[group.tokens.start * width..group.tokens.end * width];
            let heads = own.chunks_exact(group.tokens.len() * head_width);
            for (part, head) in row.chunks_exact_mut(head_width).zip(heads) {
                part.copy_from_slice(&head[(token - group.tokens.start) * head_width..][..head_width]);
            }
            place.set(row);
        }
        cross_out.forward(self.lanes, inputs, tokens, states, width, Write::Add);
    }

    /// Adds to each token's state what the feed-forward part makes of it.
    fn feed_forward(&self, work: &mut Work) {
        let DecoderLayer { feed_forward_norm, widen, narrow, .. } = self.layer;
        let width = self.decoder.width;
        let Work { states, row, wide, inputs: Some(inputs), .. } = work else { return };
        let tokens = self.items.len();
        for (place, state) in widen.places(inputs, tokens).zip(states.chunks_exact(width)) {
            widen.kernels().layer_norm(feed_forward_norm, state, row);
            place.set(row);
        }
        let inner = widen.outputs();
        widen.forward(self.lanes, inputs, tokens, wide, inner, Write::Set);
        for (place, wide) in narrow.places(inputs, tokens).zip(wide.chunks_exact_mut(inner)) {
            narrow.kernels().activate(Activation::Gelu, wide);
            place.set(wide);
        }
        narrow.forward(self.lanes, inputs, tokens, states, width, Write::Add);
    }
}

/// The most bytes that reading tokens into `rows` rows on each of `windows` takes: at first the longest prompt of
/// each window, then a token a row.
pub(super) fn scratch_bytes(decoder: &Decoder, threads: usize, windows: usize, rows: usize) -> u64 {
    let (width, inner) = (decoder.width, decoder.feed_forward);
    let tokens = windows * rows.max(decoder.most_positions / 2 + 4);
    let states = (tokens * (5 * width + inner) * 4) as u64 + Inputs::space_bytes(tokens, width.max(inner));
    let attention = AttentionScratch::space_bytes(QUERIES, decoder.source_positions, decoder.head_width())
        + (decoder.most_positions * 4) as u64;
    // Logits, those after the prompt, and what a search keeps of both.
    let logits = (4 * windows * rows.max(2) * decoder.tokens * 4) as u64;
    states + threads as u64 * attention + logits
}

impl ThreadScratch {
    fn new(queries: usize, keys: usize, head_width: usize, positions: usize) -> Self {
        Self {
            attention: AttentionScratch::new(queries, keys, head_width),
            scores: vec![0.0; positions],
            queries,
            keys,
        }
    }

    fn fits(&self, queries: usize, keys: usize, positions: usize) -> bool {
        self.queries >= queries && self.keys >= keys && self.scores.len() >= positions
    }
}
