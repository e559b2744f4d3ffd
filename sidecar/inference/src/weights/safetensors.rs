//! A folder's weight files: which tensors they have, which of them a model takes, and how much it is.
//!
//! Files are read with positioned reads and never mapped: a mapped file that shrinks kills the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ostler_kernels::Arena;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::header::{self, Header, HeaderError, TensorInfo};
use super::pickle::{self, PicklePolicy};
use super::reading::{SPACE_BYTES, WeightFile};
use crate::error::LoadError;
use crate::files;
use crate::files::shards::{self, Shards};
use crate::processor::Processor;

/// What files in GGUF begin with; as the length of a header it would be beyond every limit.
const GGUF: &[u8] = b"GGUF";

/// What a model is put together for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To learn its size: what it holds takes no memory. Only headers are read.
    Measure,
    /// To run it.
    Run,
}

/// What a model took from its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes that the model holds: packed weights and tables, in whole pages.
    pub resident_bytes: u64,
    /// Bytes that reading needs beside them.
    pub transient_bytes: u64,
}

/// The weights of one model: one file, several shards, or what a pickle was converted into.
pub struct Weights {
    files: Vec<WeightFile>,
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    filling: Filling,
    /// Whose threads read and pack; without them the caller's does.
    pub(super) processor: Option<Arc<Processor>>,
    state: Mutex<State>,
}

/// What becomes of what a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    /// Nothing: it is counted.
    Measured,
    /// It is read and packed.
    Packed,
    /// It is in the arena already.
    Present,
}

#[derive(Default)]
struct State {
    taken: BTreeSet<String>,
    /// Bytes that an arena needs.
    packed_bytes: u64,
    /// Bytes that are elsewhere.
    other_bytes: u64,
    /// What was taken so far, in order.
    layout: Sha256,
    arena: Option<Arena>,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens the weight files of a folder and checks their headers. A pickle is converted first, where
    /// `policy` allows it. To run, everything gets memory of its own; [`super::assemble`] puts it into one piece.
    ///
    /// # Errors
    /// Where there are none, or one of them is not what its format says.
    pub fn open(folder: &Path, policy: &PicklePolicy, purpose: Purpose) -> Result<Self, LoadError> {
        let mut weights = Self {
            files: Vec::new(),
            tensors: BTreeMap::new(),
            filling: match purpose {
                Purpose::Measure => Filling::Measured,
                Purpose::Run => Filling::Packed,
            },
            processor: None,
            state: Mutex::new(State::default()),
        };
        if folder.join(files::SINGLE_SAFETENSORS).exists() {
            weights.add(&folder.join(files::SINGLE_SAFETENSORS), files::SINGLE_SAFETENSORS)?;
        } else if folder.join(files::SAFETENSORS_INDEX).exists() {
            weights.add_shards(folder, shards::SAFETENSORS, |path, _| Ok(path))?;
        } else if folder.join(files::SINGLE_PICKLE).exists() {
            let converted =
                pickle::converted(&folder.join(files::SINGLE_PICKLE), files::SINGLE_PICKLE, policy)?;
            weights.add(&converted, files::SINGLE_PICKLE)?;
        } else if folder.join(files::PICKLE_INDEX).exists() {
            weights
                .add_shards(folder, shards::PICKLES, |path, name| pickle::converted(&path, name, policy))?;
        } else {
            let others = [files::SAFETENSORS_INDEX, files::SINGLE_PICKLE, files::PICKLE_INDEX];
            return Err(LoadError::MissingFile {
                file: files::SINGLE_SAFETENSORS.to_owned(),
                reason: format!("nor is there one of {}", others.join(", ")),
            });
        }
        Ok(weights)
    }

    /// From now on what is taken goes into an arena, from its start on: packed by the threads of a processor, or,
    /// where the arena's contents `are_present`, as it lies there.
    pub(super) fn fill(&mut self, arena: Arena, are_present: bool, processor: &Arc<Processor>) {
        self.filling = if are_present { Filling::Present } else { Filling::Packed };
        self.processor = Some(Arc::clone(processor));
        self.state = Mutex::new(State { arena: Some(arena), ..State::default() });
    }

    /// The arena, where there is one.
    pub(super) fn into_arena(self) -> Option<Arena> {
        self.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).arena
    }

    /// Adds the shards that an index names; `read_as` says which file to read for one.
    fn add_shards(
        &mut self,
        folder: &Path,
        names: Shards,
        read_as: impl Fn(PathBuf, &str) -> Result<PathBuf, LoadError>,
    ) -> Result<(), LoadError> {
        let index: ShardIndex = files::read_json(folder, names.index)?;
        let shards: BTreeSet<&String> = index.weight_map.values().collect();
        for shard in shards {
            if !names.is_one(shard) {
                let message = format!("it names {shard:?}, which is no shard's name");
                return Err(LoadError::corrupted(names.index, message));
            }
            let path = folder.join(shard);
            if !path.exists() {
                let reason = format!("{} names it", names.index);
                return Err(LoadError::MissingFile { file: shard.clone(), reason });
            }
            self.add(&read_as(path, shard)?, shard)?;
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
        if first.starts_with(GGUF) {
            return Err(files::gguf_refused(name));
        }
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

    /// What becomes of what is taken.
    pub(super) fn filling(&self) -> Filling {
        self.filling
    }

    /// Whether there is a tensor of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Takes `bytes` of an arena for what `what` describes: everything that its contents follow from, but for the
    /// files.
    pub(super) fn claim<R>(
        &self,
        what: &str,
        bytes: u64,
        place: impl FnOnce(&mut Arena) -> Option<R>,
    ) -> Option<R> {
        self.state(|state| {
            state.packed_bytes = state.packed_bytes.saturating_add(bytes);
            state.layout.update(what.as_bytes());
            state.layout.update([0]);
            state.arena.as_mut().and_then(place)
        })
    }

    /// Counts bytes that the model holds elsewhere.
    #[cfg(test)]
    pub(super) fn count_bytes(&self, bytes: u64) {
        self.state(|state| state.other_bytes = state.other_bytes.saturating_add(bytes));
    }

    /// The bytes that an arena needs for what was taken.
    pub(super) fn packed_bytes(&self) -> u64 {
        self.state(|state| state.packed_bytes)
    }

    /// A digest of what was taken so far, and in which order.
    pub(super) fn layout(&self) -> [u8; 32] {
        self.state(|state| state.layout.clone().finalize().into())
    }

    /// A digest of the files' sizes and tensors, which two folders of the same files share.
    pub(super) fn contents(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for WeightFile { name, data_start, .. } in &self.files {
            digest.update(format!("{name} {data_start}\0"));
        }
        for (name, (file, info)) in &self.tensors {
            digest.update(format!("{name} {file} {info:?}\0"));
        }
        digest.finalize().into()
    }

    /// Finds a tensor, checks its dimensions and number format, and remembers that it is used.
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
        // Whole numbers are weights in a form that needs more than the numbers, such as the scales of a quantised model.
        if !info.format.is_float() {
            return Err(LoadError::WrongFormat {
                file: file.name.clone(),
                tensor: name.to_owned(),
                found: info.format.safetensors_name(),
            });
        }
        self.state(|state| state.taken.insert(name.to_owned()));
        Ok((file, info))
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
            let packed = Arena::whole_pages(state.packed_bytes);
            Ok(Usage {
                resident_bytes: packed.saturating_add(state.other_bytes),
                transient_bytes: SPACE_BYTES,
            })
        })
    }

    fn state<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        // A panic elsewhere leaves the set and the sum whole, so a poisoned lock is as good as any.
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// How many numbers a tensor has, where memory could hold them.
pub(super) fn elements(file: &WeightFile, info: &TensorInfo) -> Result<usize, LoadError> {
    usize::try_from(info.elements())
        .map_err(|_| LoadError::corrupted(&file.name, "a tensor is larger than memory"))
}

#[cfg(test)]
mod tests;
