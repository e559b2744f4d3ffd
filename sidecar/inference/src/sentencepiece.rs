//! Sentencepiece models: texts to pieces and back.
//!
//! The library normalises texts, and does everything with models of other kinds. Texts are cut into pieces here where
//! the model is of the unigram kind, as those of Marian and mBART-50 are: the library compares the text at each place
//! with every piece of the same first byte, which takes milliseconds for a sentence, and keeps each piece four times.

mod message;
mod unigram;

use sentencepiece_rs::SentencePieceProcessor;

use self::message::ModelMessage;
use self::unigram::Unigram;

/// A sentencepiece model.
pub struct SentencePieces(Model);

enum Model {
    Unigram(Box<Unigram>),
    Other(Box<SentencePieceProcessor>),
}

impl SentencePieces {
    /// Reads a model from the bytes of its file.
    ///
    /// # Errors
    /// Where they are none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let message = ModelMessage::read(bytes)?;
        let model = match message.is_plain_unigram()? {
            true => Model::Unigram(Box::new(Unigram::new(message)?)),
            false => {
                let processor = SentencePieceProcessor::from_serialized_model(bytes).map_err(text)?;
                Model::Other(Box::new(processor))
            }
        };
        Ok(Self(model))
    }

    /// How many pieces there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.0 {
            Model::Unigram(unigram) => unigram.pieces().count(),
            Model::Other(processor) => processor.model().vocab_size(),
        }
    }

    /// The piece with this number.
    #[must_use]
    pub fn piece(&self, number: usize) -> Option<&str> {
        match &self.0 {
            Model::Unigram(unigram) => unigram.pieces().text(u32::try_from(number).ok()?),
            Model::Other(processor) => processor.id_to_piece(number).ok(),
        }
    }

    /// The pieces of a text.
    ///
    /// # Errors
    /// Where the model has no pieces for it.
    pub fn encode(&self, text: &str) -> Result<Vec<String>, String> {
        match &self.0 {
            Model::Unigram(unigram) => {
                Ok(unigram.encode(text)?.into_iter().map(|token| token.piece).collect())
            }
            Model::Other(processor) => processor.encode(text).map_err(self::text),
        }
    }

    /// The numbers of the pieces of a text.
    ///
    /// # Errors
    /// As [`SentencePieces::encode`].
    pub fn encode_to_ids(&self, text: &str) -> Result<Vec<usize>, String> {
        match &self.0 {
            Model::Unigram(unigram) => {
                Ok(unigram.encode(text)?.into_iter().map(|token| token.number as usize).collect())
            }
            Model::Other(processor) => processor.encode_to_ids(text).map_err(self::text),
        }
    }

    /// The text that pieces come from.
    ///
    /// # Errors
    /// Where pieces of bytes are none.
    pub fn decode(&self, pieces: &[&str]) -> Result<String, String> {
        match &self.0 {
            Model::Unigram(unigram) => unigram.decode(pieces),
            Model::Other(processor) => processor.decode_pieces(pieces).map_err(text),
        }
    }
}

fn text(error: sentencepiece_rs::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
