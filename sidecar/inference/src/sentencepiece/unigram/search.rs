//! The most probable way to put a text together from pieces, as sentencepiece finds it (`unigram_model.cc`,
//! `EncodeOptimized`): by one pass over the text that keeps the best way to every place.

use std::ops::Range;

use super::Kind;
use crate::token_table::TokenTable;

/// How much less probable an unknown character is than the least probable piece (`kUnkPenalty`).
const UNKNOWN_PENALTY: f32 = 10.0;
/// What a piece that the user defined costs beside the most probable ones (`EncodeOptimized`).
const DEFINED_PENALTY: f64 = 0.1;

/// What the search knows of a model's pieces, so that those that begin at a place of a text are found.
pub(super) struct Search {
    /// The numbers of the pieces that texts are cut into, in the order of their bytes.
    order: Box<[u32]>,
    /// For each piece its score, and for those that the user defined the one that follows from their length.
    scores: Box<[f32]>,
    least_score: f32,
}

/// A part of a text that is one piece, or one unknown character.
pub(super) struct Cut {
    pub(super) number: u32,
    pub(super) range: Range<usize>,
}

/// The best way to a place.
#[derive(Clone, Copy)]
struct Way {
    score: f32,
    /// Where its last piece starts.
    start: usize,
    number: u32,
}

impl Search {
    pub(super) fn new(pieces: &TokenTable, kinds: &[Kind], mut scores: Box<[f32]>) -> Self {
        let is_used = |number: &u32| matches!(kinds[*number as usize], Kind::Normal | Kind::UserDefined);
        let normal =
            || kinds.iter().zip(&scores).filter(|piece| *piece.0 == Kind::Normal).map(|piece| *piece.1);
        let least_score = normal().reduce(f32::min).unwrap_or_default();
        let greatest_score = normal().reduce(f32::max).unwrap_or_default();
        for (number, piece) in pieces.iter().filter(|piece| kinds[piece.0 as usize] == Kind::UserDefined) {
            let length = piece.len() as f32;
            scores[number as usize] = (f64::from(length * greatest_score) - DEFINED_PENALTY) as f32;
        }
        let order = pieces.by_text().map(|token| token.0).filter(is_used).collect();
        Self { order, scores, least_score }
    }

    /// The parts of a normalised text, in their order. `unknown` is the number of characters that are no piece.
    pub(super) fn cut(&self, pieces: &TokenTable, unknown: u32, text: &str) -> Vec<Cut> {
        let mut ways: Vec<Option<Way>> = vec![None; text.len() + 1];
        let offer = |ways: &mut Vec<Option<Way>>, end: usize, way: Way| {
            // Of equal ways the first, which has the longest last piece, stays.
            if ways[end].is_none_or(|best| way.score > best.score) {
                ways[end] = Some(way);
            }
        };
        for (start, character) in text.char_indices() {
            let so_far = match ways[start] {
                Some(way) => way.score,
                None if start == 0 => 0.0,
                None => continue,
            };
            let mut has_character = false;
            for (number, length) in self.pieces_at(pieces, &text.as_bytes()[start..]) {
                has_character |= length == character.len_utf8();
                let score = so_far + self.scores[number as usize];
                offer(&mut ways, start + length, Way { score, start, number });
            }
            if !has_character {
                let score = so_far + (self.least_score - UNKNOWN_PENALTY);
                offer(&mut ways, start + character.len_utf8(), Way { score, start, number: unknown });
            }
        }
        let mut cuts = Vec::new();
        let mut end = text.len();
        while let Some(way) = ways[end].filter(|_| end > 0) {
            cuts.push(Cut { number: way.number, range: way.start..end });
            end = way.start;
        }
        cuts.reverse();
        cuts
    }

    /// The pieces that `text` begins with and their lengths, shortest first: each byte leaves a narrower range of the
    /// pieces in order, of which the first is the one that ends there, if any does.
    fn pieces_at<'a>(
        &'a self,
        pieces: &'a TokenTable,
        text: &'a [u8],
    ) -> impl Iterator<Item = (u32, usize)> + 'a {
        let bytes = |number: u32| pieces.text(number).unwrap_or_default().as_bytes();
        let mut range = &*self.order;
        let narrowed = text.iter().enumerate().map_while(move |(depth, byte)| {
            let first = range.partition_point(|number| bytes(*number).get(depth) < Some(byte));
            let end =
                first + range[first..].partition_point(|number| bytes(*number).get(depth) == Some(byte));
            range = &range[first..end];
            let least = *range.first()?;
            Some((bytes(least).len() == depth + 1).then_some((least, depth + 1)))
        });
        narrowed.flatten()
    }
}
