//! The most probable way to put a text together from pieces, as sentencepiece finds it (`unigram_model.cc`,
//! `EncodeOptimized`): by one pass over the text that keeps the best way to every place.

use std::ops::Range;

use sentencepiece_rs::{PieceType, SentencePieceModel};

/// How much less probable an unknown character is than the least probable piece (`kUnkPenalty`).
const UNKNOWN_PENALTY: f32 = 10.0;
/// What a piece that the user defined costs beside the most probable ones (`EncodeOptimized`).
const DEFINED_PENALTY: f64 = 0.1;

/// The pieces of a unigram model, so that those that begin at a place of a text are found.
pub(super) struct Unigram {
    /// The numbers of the pieces that texts are cut into, in the order of their bytes.
    order: Vec<u32>,
    least_score: f32,
    greatest_score: f32,
}

/// A part of a text that is one piece, or one unknown character.
pub(super) struct Cut {
    pub(super) id: usize,
    pub(super) range: Range<usize>,
}

/// The best way to a place.
#[derive(Clone, Copy)]
struct Way {
    score: f32,
    /// Where its last piece starts.
    start: usize,
    id: usize,
}

impl Unigram {
    pub(super) fn new(model: &SentencePieceModel) -> Self {
        let pieces = model.pieces();
        let is_used =
            |id: &u32| matches!(pieces[*id as usize].kind, PieceType::Normal | PieceType::UserDefined);
        let mut order: Vec<u32> = (0..pieces.len() as u32).filter(is_used).collect();
        order.sort_unstable_by(|left, right| {
            pieces[*left as usize].piece.as_bytes().cmp(pieces[*right as usize].piece.as_bytes())
        });
        let scores =
            || pieces.iter().filter(|piece| piece.kind == PieceType::Normal).map(|piece| piece.score);
        Self {
            order,
            least_score: scores().reduce(f32::min).unwrap_or_default(),
            greatest_score: scores().reduce(f32::max).unwrap_or_default(),
        }
    }

    /// The parts of a normalised text, in their order.
    pub(super) fn cut(&self, model: &SentencePieceModel, text: &str) -> Vec<Cut> {
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
            for (id, length) in self.pieces_at(model, &text.as_bytes()[start..]) {
                has_character |= length == character.len_utf8();
                let score = so_far + self.score(model, id, length);
                offer(&mut ways, start + length, Way { score, start, id });
            }
            if !has_character {
                let score = so_far + (self.least_score - UNKNOWN_PENALTY);
                offer(&mut ways, start + character.len_utf8(), Way { score, start, id: model.unk_id() });
            }
        }
        let mut cuts = Vec::new();
        let mut end = text.len();
        while let Some(way) = ways[end].filter(|_| end > 0) {
            cuts.push(Cut { id: way.id, range: way.start..end });
            end = way.start;
        }
        cuts.reverse();
        cuts
    }

    /// The pieces that `text` begins with and their lengths, shortest first: each byte leaves a narrower range of the
    /// pieces in order, of which the first is the one that ends there, if any does.
    fn pieces_at<'a>(
        &'a self,
        model: &'a SentencePieceModel,
        text: &'a [u8],
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        let bytes = |id: &u32| model.pieces()[*id as usize].piece.as_bytes();
        let mut range = self.order.as_slice();
        let narrowed = text.iter().enumerate().map_while(move |(depth, byte)| {
            let first = range.partition_point(|id| bytes(id).get(depth) < Some(byte));
            let end = first + range[first..].partition_point(|id| bytes(id).get(depth) == Some(byte));
            range = &range[first..end];
            let least = range.first()?;
            Some((bytes(least).len() == depth + 1).then_some((*least as usize, depth + 1)))
        });
        narrowed.flatten()
    }

    fn score(&self, model: &SentencePieceModel, id: usize, length: usize) -> f32 {
        let piece = &model.pieces()[id];
        match piece.kind {
            PieceType::UserDefined => {
                (f64::from(length as f32 * self.greatest_score) - DEFINED_PENALTY) as f32
            }
            _ => piece.score,
        }
    }
}
