//! Weights for models on the kernels: packed while they are read, by all threads, so that only a piece of them for each
//! is ever in memory twice.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ostler_kernels::{
    Aligned, Arena, Format, Kernels, LayerNorm, Linear, LinearBuilder, LinearShape, Numbers, RowBlock,
};

use super::header::TensorInfo;
use super::reading::{PIECE, Space, WeightFile};
use super::safetensors::{Filling, Weights, elements};
use crate::error::LoadError;

/// One of the linear layers that are packed as one, below one another.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its tensors are `{name}.weight` and `{name}.bias`.
    pub name: String,
    /// Its outputs.
    pub outputs: usize,
    /// Whether it has a bias; one that has none among others that do gets zeros.
    pub has_bias: bool,
}

/// A tensor, some rows of a layer's weights.
struct Rows<'a> {
    /// Which of the layer they are.
    place: Range<usize>,
    tensor: &'a str,
    file: &'a WeightFile,
    info: &'a TensorInfo,
}

/// Where the bias of some outputs of a layer is.
struct Bias {
    place: Range<usize>,
    tensor: String,
    shape: Vec<usize>,
}

/// Channels x frames of a convolution's rows, which become frames x channels.
type Turn = Option<[usize; 2]>;

impl Weights {
    /// A tensor of one dimension.
    ///
    /// # Errors
    /// Where it is not there, has other dimensions, or cannot be read.
    pub fn vector(&self, name: &str, length: usize) -> Result<Numbers<f32>, LoadError> {
        self.table(name, &[length])
    }

    /// A tensor's numbers, the last dimension running fastest.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn table(&self, name: &str, shape: &[usize]) -> Result<Numbers<f32>, LoadError> {
        self.rows(name, shape, 0..shape.first().copied().unwrap_or(1))
    }

    /// Some rows of a tensor: of its first dimension those in `kept`.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn rows(&self, name: &str, shape: &[usize], kept: Range<usize>) -> Result<Numbers<f32>, LoadError> {
        let (file, info) = self.take(name, shape)?;
        elements(file, info)?;
        let row: usize = shape.iter().skip(1).product();
        let numbers = kept.start * row..kept.end * row;
        self.numbers(&format!("{name} {shape:?} {kept:?}"), numbers.len() as u64, &mut |out| {
            let mut at = 0;
            file.read((name, info), numbers.clone(), 1, &mut Space::default(), &mut |piece, _| {
                out[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            })
        })
    }

    /// A table that the model computes for itself and holds like a weight, by the formula `name`.
    ///
    /// # Errors
    /// None; a table of other than the product of `shape` numbers is filled up with zeros.
    pub fn computed(
        &self,
        name: &str,
        shape: &[usize],
        compute: impl Fn() -> Vec<f32>,
    ) -> Result<Numbers<f32>, LoadError> {
        let length = shape.iter().fold(1u64, |length, dimension| length.saturating_mul(*dimension as u64));
        self.numbers(&format!("{name} {shape:?}"), length, &mut |out| {
            out.iter_mut().zip(compute()).for_each(|(place, number)| *place = number);
            Ok(())
        })
    }

    /// `{name}.weight` and `{name}.bias` of a layer norm.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn layer_norm(&self, name: &str, width: usize, epsilon: f32) -> Result<LayerNorm, LoadError> {
        Ok(LayerNorm {
            gain: self.vector(&format!("{name}.weight"), width)?,
            bias: self.vector(&format!("{name}.bias"), width)?,
            epsilon,
        })
    }

    /// Linear layers that see the same rows, packed as one: outputs of the first part come first.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn linear(
        &self,
        kernels: Kernels,
        format: Format,
        parts: &[Part],
        inputs: usize,
    ) -> Result<Linear, LoadError> {
        let (mut tensors, mut biases, mut outputs) = (Vec::new(), Vec::new(), 0);
        for part in parts {
            let place = outputs..outputs + part.outputs;
            outputs = place.end;
            if part.has_bias {
                let tensor = format!("{}.bias", part.name);
                biases.push(Bias { place: place.clone(), tensor, shape: vec![part.outputs] });
            }
            tensors.push((format!("{}.weight", part.name), vec![part.outputs, inputs]));
        }
        let shape = LinearShape { kernels, format, outputs, inputs, has_bias: !biases.is_empty() };
        self.pack(shape, &tensors, &biases, None)
    }

    /// A linear layer of a tensor's rows, such as an embedding that is tied to the output, with a bias that is
    /// another tensor of `1 x outputs` or none.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn linear_of(
        &self,
        kernels: Kernels,
        format: Format,
        tensor: &str,
        (outputs, inputs): (usize, usize),
        bias: Option<&str>,
    ) -> Result<Linear, LoadError> {
        let shape = LinearShape { kernels, format, outputs, inputs, has_bias: bias.is_some() };
        let bias =
            bias.map(|tensor| Bias { place: 0..outputs, tensor: tensor.to_owned(), shape: vec![1, outputs] });
        self.pack(shape, &[(tensor.to_owned(), vec![outputs, inputs])], bias.as_slice(), None)
    }

    /// A convolution over `taken` frames, whose weights `{name}.weight` are outputs x channels x frames, as a linear
    /// layer over frames that follow one another, with the bias `{name}.bias`.
    ///
    /// # Errors
    /// As [`Weights::vector`].
    pub fn convolution(
        &self,
        kernels: Kernels,
        format: Format,
        name: &str,
        [outputs, channels, taken]: [usize; 3],
    ) -> Result<Linear, LoadError> {
        let shape = LinearShape { kernels, format, outputs, inputs: channels * taken, has_bias: true };
        let bias = Bias { place: 0..outputs, tensor: format!("{name}.bias"), shape: vec![outputs] };
        let tensor = (format!("{name}.weight"), vec![outputs, channels, taken]);
        self.pack(shape, &[tensor], &[bias], Some([channels, taken]))
    }

    /// Numbers in the arena, which `fill` gives.
    fn numbers(
        &self,
        what: &str,
        length: u64,
        fill: &mut dyn FnMut(&mut [f32]) -> Result<(), LoadError>,
    ) -> Result<Numbers<f32>, LoadError> {
        // A length that is beyond an address space is beyond every budget too: it is measured and never taken.
        let count = usize::try_from(length).unwrap_or(usize::MAX);
        let place = self.claim(what, Arena::space::<f32>(count), |arena| arena.take(count));
        if self.filling() == Filling::Measured {
            return Ok(Numbers::default());
        }
        let mut numbers = place.unwrap_or_else(|| Aligned::zeroed(count));
        if self.filling() == Filling::Packed {
            fill(&mut numbers)?;
        }
        Ok(numbers.freeze())
    }

    fn pack(
        &self,
        shape: LinearShape,
        tensors: &[(String, Vec<usize>)],
        biases: &[Bias],
        turn: Turn,
    ) -> Result<Linear, LoadError> {
        // The space for a layer is taken only once its tensors have shown to be as large.
        let mut what = format!("{:?} {} {}", shape.format, shape.outputs, shape.inputs);
        for Bias { tensor, shape, place } in biases {
            self.take(tensor, shape)?;
            let _ = write!(what, " {tensor} {place:?}");
        }
        let (mut rows, mut first) = (Vec::with_capacity(tensors.len()), 0);
        for (tensor, dimensions) in tensors {
            let (file, info) = self.take(tensor, dimensions)?;
            elements(file, info)?;
            let place = first..first + dimensions.first().copied().unwrap_or_default();
            first = place.end;
            let _ = write!(what, " {tensor} {dimensions:?}");
            rows.push(Rows { place, tensor, file, info });
        }
        let place = self.claim(&what, shape.bytes(), |arena| LinearBuilder::within(shape, arena));
        if self.filling() == Filling::Measured {
            return Ok(shape.hollow());
        }
        let mut builder = place.unwrap_or_else(|| LinearBuilder::new(shape));
        if self.filling() == Filling::Packed {
            self.read_biases(biases, builder.bias_mut())?;
            self.read_weights(&rows, shape.inputs, turn, &mut builder)?;
        }
        Ok(builder.finish())
    }

    fn read_biases(&self, biases: &[Bias], out: &mut [f32]) -> Result<(), LoadError> {
        for Bias { place, tensor, shape } in biases {
            let (file, info) = self.take(tensor, shape)?;
            let mut at = place.start;
            file.read((tensor, info), 0..place.len(), 1, &mut Space::default(), &mut |piece, _| {
                out[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            })?;
        }
        Ok(())
    }

    /// Reads and packs a layer's rows, every thread some panels of them.
    fn read_weights(
        &self,
        rows: &[Rows<'_>],
        inputs: usize,
        turn: Turn,
        builder: &mut LinearBuilder,
    ) -> Result<(), LoadError> {
        let blocks: Vec<RowBlock<'_>> = builder.blocks_mut(PIECE / inputs.max(1)).collect();
        let Some(processor) = &self.processor else {
            let mut space = Space::default();
            return blocks
                .into_iter()
                .try_for_each(|mut block| read_block(rows, inputs, turn, &mut block, &mut space));
        };
        let lanes = processor.team().enter_behind();
        let mut spaces: Vec<Space> = (0..lanes.threads()).map(|_| Space::default()).collect();
        let (has_failed, failure) = (AtomicBool::new(false), Mutex::new(None));
        lanes.for_each_with(blocks, &mut spaces, |mut block, space| {
            if has_failed.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = read_block(rows, inputs, turn, &mut block, space) {
                has_failed.store(true, Ordering::Relaxed);
                *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
            }
        });
        failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// Reads and packs the rows of a block, which may be in several tensors.
fn read_block(
    rows: &[Rows<'_>],
    inputs: usize,
    turn: Turn,
    block: &mut RowBlock<'_>,
    space: &mut Space,
) -> Result<(), LoadError> {
    let wanted = block.rows();
    for Rows { place, tensor, file, info } in rows {
        let own = wanted.start.max(place.start)..wanted.end.min(place.end);
        if own.is_empty() || inputs == 0 {
            continue;
        }
        let mut row = own.start;
        let numbers = (own.start - place.start) * inputs..(own.end - place.start) * inputs;
        file.read((tensor, info), numbers, inputs, space, &mut |piece, turned| {
            for numbers in piece.chunks_exact(inputs) {
                match turn {
                    Some([channels, taken]) => {
                        turned.resize(inputs, 0.0);
                        for (index, weight) in numbers.iter().enumerate() {
                            turned[index % taken * channels + index / taken] = *weight;
                        }
                        block.set(row, turned);
                    }
                    None => block.set(row, numbers),
                }
                row += 1;
            }
        })?;
    }
    Ok(())
}
