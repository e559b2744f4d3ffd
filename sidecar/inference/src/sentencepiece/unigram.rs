//! A sentencepiece model of the unigram kind: texts to pieces and back.

mod search;

use sentencepiece_rs::{SPACE_SYMBOL, SentencePieceProcessor};

use self::search::Search;
use super::message::{Kind, ModelMessage, Spaces};
use crate::token_table::{TokenTable, TokenTableBuilder};

/// The pieces of a model, and its rules.
pub(super) struct Unigram {
    pieces: TokenTable,
    kinds: Box<[Kind]>,
    search: Search,
    unknown: u32,
    spaces: Spaces,
    /// The library with the rules and the special pieces alone.
    rules: SentencePieceProcessor,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) number: u32,
    pub(super) piece: String,
}

impl Unigram {
    /// Takes over a model's file.
    ///
    /// # Errors
    /// Where a piece is no piece, or there twice, or the library refuses the rules.
    pub(super) fn new(model: ModelMessage) -> Result<Self, String> {
        let mut pieces = TokenTableBuilder::default();
        for (piece, number) in model.pieces.iter().zip(0..) {
            let text = piece.piece.as_deref().unwrap_or_default();
            if text.is_empty() || text.contains('\0') {
                return Err(format!("piece {number} is empty or holds a zero byte"));
            }
            pieces.push(text, number);
        }
        let pieces = pieces.finish();
        if pieces.by_text().count() != pieces.count() {
            return Err("it has a piece twice".to_owned());
        }
        let kinds: Box<[Kind]> = model.pieces.iter().map(super::message::PieceMessage::kind).collect();
        let unknown = kinds.iter().position(|kind| *kind == Kind::Unknown);
        let scores = model.pieces.iter().map(|piece| piece.score.unwrap_or_default());
        Ok(Self {
            search: Search::new(&pieces, &kinds, scores.collect()),
            unknown: unknown.ok_or("it has no piece for what is unknown")? as u32,
            spaces: model.spaces()?,
            rules: SentencePieceProcessor::from_serialized_model(&model.without_normal_pieces())
                .map_err(super::text)?,
            pieces,
            kinds,
        })
    }

    pub(super) fn pieces(&self) -> &TokenTable {
        &self.pieces
    }

    /// The pieces of a text; unknown characters next to each other are one.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        let normalized = self.rules.normalize(text).map_err(super::text)?;
        let mut tokens: Vec<Token> = Vec::new();
        for cut in self.search.cut(&self.pieces, self.unknown, &normalized) {
            let piece = &normalized[cut.range];
            match tokens.last_mut() {
                Some(last) if cut.number == self.unknown && last.number == self.unknown => {
                    last.piece.push_str(piece);
                }
                _ => tokens.push(Token { number: cut.number, piece: piece.to_owned() }),
            }
        }
        Ok(tokens)
    }

    /// The text of pieces (`DecodePieces` of sentencepiece): signs of spaces become spaces, but for the first that was
    /// added, or all in front where they are removed.
    pub(super) fn decode(&self, pieces: &[&str]) -> Result<String, String> {
        let mut text = String::new();
        let (mut is_front, mut lost_first) = (true, false);
        for piece in pieces {
            is_front &= !lost_first && text.is_empty();
            lost_first = false;
            let kind = self.pieces.number(piece).map(|number| self.kinds[number as usize]);
            if !matches!(kind, Some(Kind::Normal | Kind::UserDefined | Kind::Unused)) {
                // The library knows what stands for special pieces, and for none at all.
                text.push_str(&self.rules.decode_pieces(&[piece]).map_err(super::text)?);
                continue;
            }
            let is_stripped = is_front && (self.spaces.are_added_in_front || self.spaces.are_removed);
            let rest = piece.strip_prefix(SPACE_SYMBOL).filter(|_| is_stripped);
            lost_first = rest.is_some() && !self.spaces.are_removed;
            text.push_str(&rest.unwrap_or(piece).replace(SPACE_SYMBOL, " "));
        }
        Ok(text)
    }
}
