//! The caches of rows that are being decoded.

use candle_core::{Device, Tensor};

use super::layers::KeysValues;
use super::{CandleModel, Encoded};
use crate::engine::{Control, EngineError};
use crate::generate::Decoder;

/// Rows in the middle of decoding. Cross-attention keeps one row a sentence, however many beams it has.
pub(super) struct Decoding<'a> {
    model: &'a CandleModel,
    encoded: Encoded,
    past: Vec<Option<KeysValues>>,
    position: usize,
    /// For each row, the number of its sentence in `encoded`.
    sentences: Vec<usize>,
}

impl<'a> Decoding<'a> {
    /// One row for each encoded sentence.
    pub(super) fn new(model: &'a CandleModel, encoded: Encoded, sentences: usize) -> Self {
        let past = vec![None; model.architecture.decoder.layers];
        Self { model, encoded, past, position: 0, sentences: (0..sentences).collect() }
    }
}

impl Decoder for Decoding<'_> {
    fn vocabulary(&self) -> usize {
        self.model.architecture.target_vocabulary
    }

    fn step(
        &mut self,
        tokens: &[Vec<u32>],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError> {
        let length = tokens.first().map_or(0, Vec::len);
        logits.clear();
        for place in 0..length {
            let column: Vec<u32> = tokens.iter().filter_map(|row| row.get(place).copied()).collect();
            let step = self.model.decode(&column, self.position, &self.encoded, &mut self.past, control)?;
            self.position += 1;
            if place + 1 == length {
                *logits = step.flatten_all()?.to_vec1()?;
            }
        }
        Ok(())
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError> {
        if parents.iter().copied().eq(0..self.sentences.len()) {
            return Ok(());
        }
        let places = indices(parents)?;
        for past in self.past.iter_mut().flatten() {
            *past = past.select(&places)?;
        }
        let sentences: Vec<usize> = parents.iter().map(|parent| self.sentences[*parent]).collect();
        let mut kept = sentences.clone();
        kept.dedup();
        if kept.len() < self.encoded.mask.dim(0)? {
            let places = indices(&kept)?;
            for memory in &mut self.encoded.memory {
                *memory = memory.select(&places)?;
            }
            self.encoded.mask = self.encoded.mask.index_select(&places, 0)?;
            // The rows of a sentence lie together, so sentences keep their order and are numbered anew by it.
            self.sentences =
                sentences.iter().map(|sentence| kept.partition_point(|other| other < sentence)).collect();
        } else {
            self.sentences = sentences;
        }
        Ok(())
    }
}

fn indices(places: &[usize]) -> Result<Tensor, EngineError> {
    let length = places.len();
    let places: Vec<u32> = places.iter().map(|place| *place as u32).collect();
    Ok(Tensor::from_vec(places, length, &Device::Cpu)?)
}
