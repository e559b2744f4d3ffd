//! The file of a sentencepiece model, as far as it is read here (`sentencepiece_model.proto` of sentencepiece).

use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};

use crate::charsmap::longest_replacement;

/// The most pieces: four times those of the largest published models. A piece takes fifty bytes where the file has two.
const MAX_PIECES: usize = 1 << 20;
/// The most pieces of the user's own, all of which the library compares with each place of a text.
const MAX_DEFINED: usize = 4_096;
/// The longest piece in bytes. Looking for pieces takes longer the longer those are that begin alike.
const MAX_PIECE_BYTES: usize = 1_024;

/// A whole file. What is not looked into stays bytes, so that it can be written again.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelMessage {
    #[prost(message, repeated, tag = "1")]
    pub(super) pieces: Vec<PieceMessage>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) trainer: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(super) normalizer: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(super) denormalizer: Option<Vec<u8>>,
}

/// One piece.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PieceMessage {
    #[prost(string, optional, tag = "1")]
    pub(super) piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(super) score: Option<f32>,
    #[prost(int32, optional, tag = "3")]
    pub(super) type_number: Option<i32>,
}

/// How the model was trained.
#[derive(Clone, PartialEq, Message)]
struct TrainerMessage {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
}

/// How texts are normalised before they are cut.
#[derive(Clone, PartialEq, Message)]
struct NormalizerMessage {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
}

/// `ModelType`: the other kinds are words and characters.
const UNIGRAM: i32 = 1;
const PAIRS: i32 = 2;

/// What a piece is (`SentencePiece.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl PieceMessage {
    pub(super) fn kind(&self) -> Kind {
        match self.type_number {
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::UserDefined,
            Some(5) => Kind::Unused,
            Some(6) => Kind::Byte,
            _ => Kind::Normal,
        }
    }
}

/// What is done with the spaces of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spaces {
    /// A text without a space in front is read as if it had one.
    pub(super) are_added_in_front: bool,
    /// Spaces in front, at the end and after others are left out.
    pub(super) are_removed: bool,
}

impl ModelMessage {
    /// Reads a file, and refuses what would take far more time or memory than it is long.
    ///
    /// # Errors
    /// Where it is no model, or asks for too much.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let count = count_pieces(bytes).map_err(|error| error.to_string())?;
        if count > MAX_PIECES {
            return Err(format!("it has {count} pieces, at most {MAX_PIECES} are read"));
        }
        let message = Self::decode(bytes).map_err(|error| error.to_string())?;
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), String> {
        for rules in [&self.normalizer, &self.denormalizer] {
            let rules: NormalizerMessage = part(rules.as_deref())?;
            longest_replacement(rules.precompiled_charsmap.as_deref().unwrap_or_default())?;
        }
        let length = |piece: &PieceMessage| piece.piece.as_ref().map_or(0, String::len);
        if let Some(number) = self.pieces.iter().position(|piece| length(piece) > MAX_PIECE_BYTES) {
            return Err(format!("piece {number} has more than {MAX_PIECE_BYTES} bytes"));
        }
        let count = |kind: Kind| self.pieces.iter().filter(|piece| piece.kind() == kind).count();
        if count(Kind::UserDefined) > MAX_DEFINED {
            return Err(format!("it has more than {MAX_DEFINED} pieces of the user's own"));
        }
        let trainer: TrainerMessage = part(self.trainer.as_deref())?;
        if trainer.model_type == Some(PAIRS) && count(Kind::Unused) > 0 {
            // The library takes such a piece apart again by a list of merges that may lead from a piece to itself.
            return Err("it merges pairs and has unused pieces, which is not supported".to_owned());
        }
        Ok(())
    }

    /// Whether texts are cut into the most probable pieces and put together by joining them: true of the models of
    /// Marian and mBART-50.
    pub(super) fn is_plain_unigram(&self) -> Result<bool, String> {
        let trainer: TrainerMessage = part(self.trainer.as_deref())?;
        Ok(trainer.model_type.unwrap_or(UNIGRAM) == UNIGRAM
            && self.denormalizer.as_ref().is_none_or(Vec::is_empty)
            && self.pieces.iter().all(|piece| piece.kind() != Kind::Byte))
    }

    pub(super) fn spaces(&self) -> Result<Spaces, String> {
        let normalizer: NormalizerMessage = part(self.normalizer.as_deref())?;
        Ok(Spaces {
            are_added_in_front: normalizer.add_dummy_prefix.unwrap_or(true),
            are_removed: normalizer.remove_extra_whitespaces.unwrap_or(true),
        })
    }

    /// A file with the same rules and without the pieces that texts are cut into; those of the user are in the rules.
    pub(super) fn without_normal_pieces(mut self) -> Vec<u8> {
        self.pieces.retain(|piece| !matches!(piece.kind(), Kind::Normal | Kind::Unused));
        self.encode_to_vec()
    }
}

/// How many pieces a file has, without making any.
fn count_pieces(mut bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes)?;
        count += usize::from(tag == 1);
        skip_field(wire_type, tag, &mut bytes, DecodeContext::default())?;
    }
    Ok(count)
}

fn part<T: Message + Default>(bytes: Option<&[u8]>) -> Result<T, String> {
    T::decode(bytes.unwrap_or_default()).map_err(|error| error.to_string())
}
