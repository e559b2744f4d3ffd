//! One layer's part of reading tokens: what they see of their rows and of their windows, and what the feed-forward part
//! makes of that.

use std::ops::Range;

use ostler_kernels::{Activation, AttentionScratch, Context, Inputs, Lanes, Rows, Write};

use super::decoder::{Decoder, DecoderLayer, WindowMemory};

/// A row of tokens and the window that it looks at.
#[derive(Clone)]
pub(super) struct Row<'a> {
    pub(super) memory: &'a WindowMemory,
    /// For each of its tokens where its keys and values start in the caches.
    pub(super) places: Vec<usize>,
}

/// A layer's keys and values of all tokens that were read, one after another.
#[derive(Clone, Default)]
pub(super) struct Cache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// Space for one step; it grows to what the largest step needs.
#[derive(Default)]
pub(super) struct Work {
    pub(super) states: Vec<f32>,
    pub(super) row: Vec<f32>,
    pub(super) projected: Vec<f32>,
    pub(super) seen: Vec<f32>,
    pub(super) wide: Vec<f32>,
    pub(super) inputs: Option<Inputs>,
    /// How many rows of inputs there is space for.
    pub(super) input_rows: usize,
    pub(super) threads: Vec<ThreadScratch>,
}

/// What one thread needs to attend.
pub(super) struct ThreadScratch {
    pub(super) attention: AttentionScratch,
    /// What the attention scratch was made for.
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) scores: Vec<f32>,
}

/// Tokens next to each other that look at the same window.
pub(super) struct Group<'a> {
    pub(super) memory: &'a WindowMemory,
    pub(super) tokens: Range<usize>,
}

/// A token on its way through the layers: its row's places up to itself.
pub(super) struct Item {
    pub(super) row: usize,
    /// How many tokens of the row it sees, itself included.
    pub(super) sees: usize,
}

/// One layer's part of reading some tokens.
pub(super) struct Step<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) layer: &'a DecoderLayer,
    pub(super) lanes: &'a Lanes<'a>,
    pub(super) items: &'a [Item],
    pub(super) rows: &'a [Row<'a>],
}

impl Work {
    pub(super) fn make_room(
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
            self.threads =
                (0..lanes.threads()).map(|_| ThreadScratch::new(decoder, queries, keys, positions)).collect();
        }
    }
}

impl Step<'_> {
    fn scale(&self) -> f32 {
        (self.decoder.head_width() as f32).powf(-0.5)
    }

    /// Adds to each token's state what it sees of its row's tokens up to itself.
    pub(super) fn attend_to_tokens(&self, cache: &mut Cache, work: &mut Work) {
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
                    Context::Float32 { keys: &cache.keys[first..], values: &cache.values[first..] },
                    &self.rows[item.row].places[..item.sees],
                    head_width,
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
    pub(super) fn attend_to_windows(
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
    pub(super) fn feed_forward(&self, work: &mut Work) {
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
            narrow.kernels().activate_for(narrow.format(), Activation::Gelu, wide);
            place.set(wide);
        }
        narrow.forward(self.lanes, inputs, tokens, states, width, Write::Add);
    }
}

impl ThreadScratch {
    fn new(decoder: &Decoder, queries: usize, keys: usize, positions: usize) -> Self {
        Self {
            attention: AttentionScratch::new(decoder.memory, queries, keys, decoder.head_width()),
            scores: vec![0.0; positions],
            queries,
            keys,
        }
    }

    fn fits(&self, queries: usize, keys: usize, positions: usize) -> bool {
        self.queries >= queries && self.keys >= keys && self.scores.len() >= positions
    }
}
