//! One pickle of tensors into one safetensors file, with bounded memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::archive::{Archive, ArchiveError};
use super::machine::MachineError;
use super::value::TensorView;

/// How much of a tensor is copied at once, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a pickle was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// It asks for more than data, or for more than the limits.
    #[error("it {0}")]
    Unsafe(String),
    /// It is not what `torch.save` writes for weights.
    #[error("it {0}")]
    Corrupted(String),
    /// The result could not be written.
    #[error("the converted file cannot be written: {0}")]
    Write(#[source] std::io::Error),
}

impl From<ArchiveError> for ConvertError {
    fn from(error: ArchiveError) -> Self {
        let is_unsafe = matches!(
            &error,
            ArchiveError::Pickle(
                MachineError::Global(_)
                    | MachineError::Opcode { .. }
                    | MachineError::Limit(_)
                    | MachineError::Malformed { .. }
            )
        );
        if is_unsafe { Self::Unsafe(error.to_string()) } else { Self::Corrupted(error.to_string()) }
    }
}

/// Converts the weights in the pickle `input` into the new safetensors file `output`. Tensors that share their
/// bytes are written once; the metadata maps the other names to that one, as `safetensors.torch.save_model`
/// does.
///
/// # Errors
/// See [`ConvertError`]. `output` is then incomplete.
pub fn convert(input: &Path, output: &Path) -> Result<(), ConvertError> {
    let file = File::open(input).map_err(ArchiveError::Io)?;
    let archive = Archive::open(&file)?;
    let file_length = file.metadata().map_err(ArchiveError::Io)?.len();
    let mut kept: BTreeMap<&String, (&TensorView, u64)> = BTreeMap::new();
    let mut aliases = Map::new();
    let mut first_names = HashMap::new();
    let mut total = 0u64;
    for (name, tensor) in &archive.tensors {
        let bytes = checked_bytes(name, tensor)?;
        let start = archive.locate(&tensor.storage)?;
        let view = (&tensor.storage.key, tensor.offset, &tensor.shape, &tensor.strides);
        if let Some(first) = first_names.get(&view) {
            let first: &&String = first;
            aliases.insert(name.clone(), Json::String((*first).clone()));
            continue;
        }
        first_names.insert(view, name);
        // Views may overlap, but weights do not: together they are never larger than the file.
        total = total.saturating_add(bytes);
        if total > file_length {
            return Err(ConvertError::Unsafe("claims more bytes of tensors than it has".to_owned()));
        }
        kept.insert(name, (tensor, start));
    }
    let header = header(&kept, aliases)?;
    let target = OpenOptions::new().write(true).create_new(true).open(output).map_err(ConvertError::Write)?;
    let mut target = BufWriter::with_capacity(CHUNK_BYTES, target);
    target.write_all(&(header.len() as u64).to_le_bytes()).map_err(ConvertError::Write)?;
    target.write_all(&header).map_err(ConvertError::Write)?;
    for (tensor, start) in kept.values() {
        copy(&file, tensor, *start, &mut target)?;
    }
    let target = target.into_inner().map_err(|error| ConvertError::Write(error.into_error()))?;
    target.sync_all().map_err(ConvertError::Write)
}

/// The bytes of a tensor, once it is sure that all of its numbers are in its storage.
fn checked_bytes(name: &str, tensor: &TensorView) -> Result<u64, ConvertError> {
    let refused = |problem: &str| ConvertError::Corrupted(format!("holds the tensor {name:?}, {problem}"));
    if tensor.shape.len() != tensor.strides.len() || tensor.shape.len() > super::super::header::MAX_DIMENSIONS
    {
        return Err(refused("whose dimensions and strides do not fit"));
    }
    let elements = tensor.shape.iter().try_fold(1u64, |product, dimension| product.checked_mul(*dimension));
    let bytes = elements.and_then(|elements| elements.checked_mul(tensor.storage.format.size() as u64));
    let bytes = bytes.ok_or_else(|| refused("whose size overflows"))?;
    if bytes == 0 {
        return Ok(0);
    }
    let last =
        tensor.shape.iter().zip(&tensor.strides).try_fold(tensor.offset, |last, (dimension, stride)| {
            (dimension - 1).checked_mul(*stride).and_then(|step| last.checked_add(step))
        });
    if last.is_some_and(|last| last < tensor.storage.elements) {
        Ok(bytes)
    } else {
        Err(refused("which is larger than its storage"))
    }
}

fn header(
    kept: &BTreeMap<&String, (&TensorView, u64)>,
    aliases: Map<String, Json>,
) -> Result<Vec<u8>, ConvertError> {
    let mut entries = Map::new();
    if !aliases.is_empty() {
        entries.insert("__metadata__".to_owned(), Json::Object(aliases));
    }
    let mut offset = 0u64;
    for (name, (tensor, _)) in kept {
        let end = offset + checked_bytes(name, tensor)?;
        let format = tensor.storage.format.safetensors_name();
        let entry = json!({"dtype": format, "shape": tensor.shape, "data_offsets": [offset, end]});
        entries.insert((*name).clone(), entry);
        offset = end;
    }
    let mut header = Json::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn copy(file: &File, tensor: &TensorView, start: u64, target: &mut impl Write) -> Result<(), ConvertError> {
    let size = tensor.storage.format.size() as u64;
    let elements: u64 = tensor.shape.iter().product();
    if elements == 0 {
        // Beside a dimension of nothing the others may be so large that their product overflows.
        return Ok(());
    }
    let (run, outer) = contiguous_run(&tensor.shape, &tensor.strides);
    let mut chunk = vec![0; CHUNK_BYTES.min((run * size) as usize)];
    let mut done = 0;
    while done < elements {
        // The place of the run: the outer dimensions count like an odometer.
        let mut rest = done / run;
        let mut place = tensor.offset;
        for (dimension, stride) in tensor.shape[..outer].iter().zip(&tensor.strides[..outer]).rev() {
            place += (rest % dimension) * stride;
            rest /= dimension;
        }
        let mut at = start + place * size;
        let end = at + run * size;
        while at < end {
            let length = chunk.len().min((end - at) as usize);
            file.read_exact_at(&mut chunk[..length], at).map_err(ArchiveError::Io)?;
            target.write_all(&chunk[..length]).map_err(ConvertError::Write)?;
            at += length as u64;
        }
        done += run;
    }
    Ok(())
}

/// How many numbers lie one after the other, and how many outer dimensions count the runs of them.
fn contiguous_run(shape: &[u64], strides: &[u64]) -> (u64, usize) {
    let mut run = 1;
    let mut outer = shape.len();
    for (dimension, stride) in shape.iter().zip(strides).rev() {
        if *dimension != 1 && *stride != run {
            break;
        }
        run *= dimension;
        outer -= 1;
    }
    (run, outer)
}
