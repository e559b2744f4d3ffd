//! A folder's weight files, read tensor by tensor.
//!
//! Files are read with positioned reads and never mapped: a mapped file that shrinks kills the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::header::{self, Header, HeaderError, TensorInfo};
use super::pickle::{self, PicklePolicy};
use crate::error::LoadError;
use crate::files;

/// How much of a tensor is read at once, in bytes: a multiple of every number's size.
const CHUNK_BYTES: usize = 1 << 20;

/// What a model is put together for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To learn its size: tensors have their shape and no memory. Only headers are read.
    Measure,
    /// To run it.
    Run,
}

/// What a model took from its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of the tensors that the model holds, 4 for each number, with the tables it computed.
    pub resident_bytes: u64,
    /// Bytes that reading needs beside them.
    pub transient_bytes: u64,
}

/// The weights of one model: one file, several shards, or what a pickle was converted into.
pub struct Weights {
    files: Vec<WeightFile>,
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    purpose: Purpose,
    state: Mutex<State>,
}

pub(super) struct WeightFile {
    name: String,
    file: File,
    data_start: u64,
}

#[derive(Default)]
struct State {
    taken: BTreeSet<String>,
    resident_bytes: u64,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens the weight files of a folder and checks their headers. A pickle is converted first, where
    /// `policy` allows it.
    ///
    /// # Errors
    /// Where there are none, or one of them is not what its format says.
    pub fn open(folder: &Path, policy: &PicklePolicy, purpose: Purpose) -> Result<Self, LoadError> {
        let mut weights = Self {
            files: Vec::new(),
            tensors: BTreeMap::new(),
            purpose,
            state: Mutex::new(State::default()),
        };
        if folder.join(files::SINGLE_SAFETENSORS).exists() {
            weights.add(&folder.join(files::SINGLE_SAFETENSORS), files::SINGLE_SAFETENSORS)?;
        } else if folder.join(files::SAFETENSORS_INDEX).exists() {
            weights.add_shards(folder)?;
        } else if folder.join(files::SINGLE_PICKLE).exists() {
            let converted = pickle::converted(&folder.join(files::SINGLE_PICKLE), policy)?;
            weights.add(&converted, files::SINGLE_PICKLE)?;
        } else {
            return Err(LoadError::MissingFile {
                file: files::SINGLE_SAFETENSORS.to_owned(),
                reason: format!("nor is there {} or {}", files::SAFETENSORS_INDEX, files::SINGLE_PICKLE),
            });
        }
        Ok(weights)
    }

    fn add_shards(&mut self, folder: &Path) -> Result<(), LoadError> {
        let bytes = files::read_capped(folder, files::SAFETENSORS_INDEX)?;
        let index: ShardIndex = serde_json::from_slice(&bytes)
            .map_err(|error| LoadError::corrupted(files::SAFETENSORS_INDEX, error))?;
        let shards: BTreeSet<&String> = index.weight_map.values().collect();
        for shard in shards {
            if !files::is_shard_name(shard) {
                let message = format!("it names {shard:?}, which is no shard's name");
                return Err(LoadError::corrupted(files::SAFETENSORS_INDEX, message));
            }
            let path = folder.join(shard);
            if !path.exists() {
                let reason = format!("{} names it", files::SAFETENSORS_INDEX);
                return Err(LoadError::MissingFile { file: shard.clone(), reason });
            }
            self.add(&path, shard)?;
        }
        for (tensor, shard) in &index.weight_map {
            let is_there = self.tensors.get(tensor).is_some_and(|(file, _)| self.files[*file].name == *shard);
            if !is_there {
                return Err(LoadError::MissingTensor { file: shard.clone(), tensor: tensor.clone() });
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, name: &str) -> Result<(), LoadError> {
        let io = |source| LoadError::io(name, source);
        let refused = |error: HeaderError| match error {
            HeaderError::UnsupportedFormat { .. } => LoadError::Incompatible(format!("{name}: {error}")),
            _ => LoadError::corrupted(name, error),
        };
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(LoadError::corrupted(name, "it is not a regular file"));
        }
        let file_length = metadata.len();
        if file_length < 8 {
            return Err(refused(HeaderError::TooShort(file_length)));
        }
        let mut first = [0; 8];
        file.read_exact_at(&mut first, 0).map_err(io)?;
        let header_length = header::header_length(first, file_length).map_err(refused)?;
        let mut bytes = vec![0; header_length];
        file.read_exact_at(&mut bytes, 8).map_err(io)?;
        let Header { mut tensors, metadata } = header::parse(&bytes, file_length).map_err(refused)?;
        for (alias, kept) in metadata {
            if let Some(info) = tensors.get(&kept).cloned() {
                tensors.entry(alias).or_insert(info);
            }
        }
        let index = self.files.len();
        for (tensor, info) in tensors {
            if let Some((first, _)) = self.tensors.get(&tensor) {
                let message = format!("the tensor {tensor:?} is in {} too", self.files[*first].name);
                return Err(LoadError::corrupted(name, message));
            }
            self.tensors.insert(tensor, (index, info));
        }
        self.files.push(WeightFile { name: name.to_owned(), file, data_start: 8 + header_length as u64 });
        Ok(())
    }

    /// The dimensions of a tensor, where it is there.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, info)| info.shape.as_slice())
    }

    /// What the model is put together for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether there is a tensor of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor of these dimensions, as 32-bit floats on the processor.
    ///
    /// # Errors
    /// Where it is not there, has other dimensions, or cannot be read.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let (file, info) = self.take(name, shape)?;
        self.count_bytes(info.elements().saturating_mul(4));
        match self.purpose {
            Purpose::Measure => Ok(Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)?),
            Purpose::Run => {
                let mut numbers = Vec::with_capacity(elements(file, info)?);
                file.read(info, 1, &mut |chunk| numbers.extend_from_slice(chunk))?;
                Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
            }
        }
    }

    /// Gives a tensor of these dimensions to `take`, some whole rows of its last dimensions at a time; where the model
    /// is only measured, nothing.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub(super) fn read_rows(
        &self,
        name: &str,
        shape: &[usize],
        take: &mut dyn FnMut(&[f32]),
    ) -> Result<(), LoadError> {
        let (file, info) = self.take(name, shape)?;
        elements(file, info)?;
        let row = shape.iter().skip(1).product::<usize>().max(1);
        match self.purpose {
            Purpose::Measure => Ok(()),
            Purpose::Run => file.read(info, row, take),
        }
    }

    /// Counts bytes that the model holds.
    pub(super) fn count_bytes(&self, bytes: u64) {
        self.state(|state| state.resident_bytes = state.resident_bytes.saturating_add(bytes));
    }

    /// Finds a tensor, checks its dimensions, and remembers that it is used.
    pub(super) fn take(&self, name: &str, shape: &[usize]) -> Result<(&WeightFile, &TensorInfo), LoadError> {
        let Some((file, info)) = self.tensors.get(name) else {
            let file = self.files.first().map_or(files::SINGLE_SAFETENSORS, |file| &file.name);
            return Err(LoadError::MissingTensor { file: file.to_owned(), tensor: name.to_owned() });
        };
        let file = &self.files[*file];
        if info.shape != shape {
            return Err(LoadError::WrongShape {
                file: file.name.clone(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                found: info.shape.clone(),
            });
        }
        self.state(|state| state.taken.insert(name.to_owned()));
        Ok((file, info))
    }

    /// A tensor that some checkpoints lack.
    ///
    /// # Errors
    /// As [`Weights::tensor`], but where it is not there.
    pub fn optional(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>, LoadError> {
        if self.contains(name) { self.tensor(name, shape).map(Some) } else { Ok(None) }
    }

    /// A table that the model computes for itself and holds like a weight: counted, and computed only where
    /// the model is to run.
    ///
    /// # Errors
    /// Where `compute` gives other than the product of `shape` numbers.
    pub fn computed(&self, shape: &[usize], compute: impl FnOnce() -> Vec<f32>) -> Result<Tensor, LoadError> {
        let elements = shape.iter().try_fold(1u64, |size, dimension| size.checked_mul(*dimension as u64));
        let bytes = elements.and_then(|elements| elements.checked_mul(4));
        self.count_bytes(bytes.unwrap_or(u64::MAX));
        match self.purpose {
            Purpose::Measure => Ok(Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)?),
            Purpose::Run => Ok(Tensor::from_vec(compute(), shape, &Device::Cpu)?),
        }
    }

    /// Says that everything was taken, and how much it was. Tensors that nothing took must be `ignorable`.
    ///
    /// # Errors
    /// [`LoadError::UnexpectedTensor`] for the first other one.
    pub fn finish(&self, ignorable: impl Fn(&str) -> bool) -> Result<Usage, LoadError> {
        self.state(|state| {
            // Another name of bytes that were taken is not left over.
            let place = |name: &String| self.tensors.get(name).map(|(file, info)| (*file, info.start));
            let taken: BTreeSet<_> = state.taken.iter().filter_map(place).collect();
            for (tensor, (file, info)) in &self.tensors {
                if !taken.contains(&(*file, info.start)) && !ignorable(tensor) {
                    let file = self.files[*file].name.clone();
                    return Err(LoadError::UnexpectedTensor { file, tensor: tensor.clone() });
                }
            }
            Ok(Usage { resident_bytes: state.resident_bytes, transient_bytes: CHUNK_BYTES as u64 })
        })
    }

    fn state<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        // A panic elsewhere leaves the set and the sum whole, so a poisoned lock is as good as any.
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// How many numbers a tensor has, where memory could hold them.
fn elements(file: &WeightFile, info: &TensorInfo) -> Result<usize, LoadError> {
    usize::try_from(info.elements())
        .map_err(|_| LoadError::corrupted(&file.name, "a tensor is larger than memory"))
}

impl WeightFile {
    /// Reads a tensor chunk by chunk, each of whole rows of `row` numbers, so that only its last form is ever whole in
    /// memory.
    fn read(&self, info: &TensorInfo, row: usize, take: &mut dyn FnMut(&[f32])) -> Result<(), LoadError> {
        let io = |source| LoadError::io(&self.name, source);
        let row_bytes = row * info.format.size();
        let whole_rows = (CHUNK_BYTES / row_bytes).max(1) * row_bytes;
        let mut chunk = vec![0; whole_rows.min(info.length as usize)];
        let mut numbers = Vec::with_capacity(chunk.len() / info.format.size());
        let mut done = 0;
        while done < info.length {
            let length = chunk.len().min((info.length - done) as usize);
            self.file.read_exact_at(&mut chunk[..length], self.data_start + info.start + done).map_err(io)?;
            numbers.clear();
            info.format.decode(&chunk[..length], &mut numbers);
            take(&numbers);
            done += length as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
