//! The file of a sentencepiece model, as far as it is read here (`sentencepiece_model.proto` of sentencepiece).

use prost::Message;

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
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
}

/// `ModelType`: the other kinds are pairs of bytes, words and characters.
const UNIGRAM: i32 = 1;

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
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
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

fn part<T: Message + Default>(bytes: Option<&[u8]>) -> Result<T, String> {
    T::decode(bytes.unwrap_or_default()).map_err(|error| error.to_string())
}
