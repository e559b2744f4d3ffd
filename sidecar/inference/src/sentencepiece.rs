//! Sentencepiece models: texts to pieces and back.
//!
//! The library reads models, normalises texts and joins pieces. Texts are cut into pieces here where the model is of
//! the unigram kind, as those of Marian and mBART-50 are: the library compares the text at each place with every piece
//! of the same first byte, which takes milliseconds for a sentence.

mod unigram;

use sentencepiece_rs::{ModelType, PieceType, SentencePieceProcessor};

use self::unigram::Unigram;

/// A sentencepiece model.
pub struct SentencePieces {
    processor: SentencePieceProcessor,
    unigram: Option<Unigram>,
    /// Whether what is no piece is spelled in bytes.
    spells_bytes: bool,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    id: usize,
    piece: String,
}

impl SentencePieces {
    /// Reads a model from the bytes of its file.
    ///
    /// # Errors
    /// Where they are none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let processor = SentencePieceProcessor::from_serialized_model(bytes).map_err(text)?;
        let model = processor.model();
        let unigram = (model.model_type() == ModelType::Unigram).then(|| Unigram::new(model));
        // A model has the pieces of bytes, all of them, or does not spell in bytes.
        let spells_bytes = model.pieces().iter().any(|piece| piece.kind == PieceType::Byte);
        Ok(Self { unigram, spells_bytes, processor })
    }

    /// How many pieces there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.processor.model().vocab_size()
    }

    /// The piece with this number.
    #[must_use]
    pub fn piece(&self, id: usize) -> Option<&str> {
        self.processor.id_to_piece(id).ok()
    }

    /// The pieces of a text.
    ///
    /// # Errors
    /// Where the model has no pieces for it.
    pub fn encode(&self, text: &str) -> Result<Vec<String>, String> {
        match &self.unigram {
            Some(unigram) => Ok(self.cut(unigram, text)?.into_iter().map(|token| token.piece).collect()),
            None => self.processor.encode(text).map_err(self::text),
        }
    }

    /// The numbers of the pieces of a text.
    ///
    /// # Errors
    /// As [`SentencePieces::encode`].
    pub fn encode_to_ids(&self, text: &str) -> Result<Vec<usize>, String> {
        match &self.unigram {
            Some(unigram) => Ok(self.cut(unigram, text)?.into_iter().map(|token| token.id).collect()),
            None => self.processor.encode_to_ids(text).map_err(self::text),
        }
    }

    /// The text that pieces come from.
    ///
    /// # Errors
    /// Where pieces of bytes are none.
    pub fn decode(&self, pieces: &[&str]) -> Result<String, String> {
        self.processor.decode_pieces(pieces).map_err(text)
    }

    /// Unknown characters next to each other are one token, or are spelled in bytes.
    fn cut(&self, unigram: &Unigram, text: &str) -> Result<Vec<Token>, String> {
        let normalized = self.processor.normalize(text).map_err(self::text)?;
        let model = self.processor.model();
        let mut tokens: Vec<Token> = Vec::new();
        for cut in unigram.cut(model, &normalized) {
            let piece = &normalized[cut.range];
            let is_unknown = model.is_unknown(cut.id);
            if is_unknown && self.spells_bytes {
                tokens.extend(piece.bytes().map(|byte| {
                    let piece = format!("<0x{byte:02X}>");
                    Token { id: model.piece_to_id(&piece), piece }
                }));
                continue;
            }
            match tokens.last_mut() {
                Some(last) if is_unknown && model.is_unknown(last.id) => last.piece.push_str(piece),
                _ => tokens.push(Token { id: cut.id, piece: piece.to_owned() }),
            }
        }
        Ok(tokens)
    }
}

fn text(error: sentencepiece_rs::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
