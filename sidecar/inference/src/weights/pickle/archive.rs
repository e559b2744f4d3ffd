//! The two file formats of `torch.save`: a zip archive (since torch 1.6), and a row of pickles before the bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use super::machine::{Machine, MachineError};
use super::value::{Storage, TensorView, Value};

/// The longest pickle that is read, in bytes. The bytes of the tensors are not in it.
const MAX_PICKLE_BYTES: u64 = 32 << 20;
/// The most entries of an archive.
const MAX_ENTRIES: usize = 100_000;
/// What the older format begins with (`torch.serialization.MAGIC_NUMBER`, 0x1950a86a20f9469cfc6c).
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is no readable zip archive: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("holds a pickle that is refused: {0}")]
    Pickle(#[from] MachineError),
    #[error("{0}")]
    Malformed(String),
}

fn malformed(message: impl Into<String>) -> ArchiveError {
    ArchiveError::Malformed(message.into())
}

/// The tensors of an archive, and where the bytes of their storages lie in the file.
pub(super) struct Archive {
    pub(super) tensors: BTreeMap<String, std::rc::Rc<TensorView>>,
    storages: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    pub(super) fn open(file: &File) -> Result<Self, ArchiveError> {
        let mut first = [0; 4];
        file.read_exact_at(&mut first, 0)?;
        if first == *b"PK\x03\x04" { Self::open_zip(file) } else { Self::open_rows(file) }
    }

    /// Where the bytes of a storage begin in the file.
    pub(super) fn locate(&self, storage: &Storage) -> Result<u64, ArchiveError> {
        let (start, length) = self
            .storages
            .get(&storage.key)
            .copied()
            .ok_or_else(|| malformed(format!("lacks the storage {:?}", storage.key)))?;
        let needed = storage.elements.checked_mul(storage.format.size() as u64);
        if needed.is_some_and(|needed| needed <= length) {
            return Ok(start);
        }
        let Storage { key, elements, .. } = storage;
        Err(malformed(format!("claims {elements} numbers for the storage {key:?}, which has {length} bytes")))
    }

    fn open_zip(file: &File) -> Result<Self, ArchiveError> {
        let file_length = file.metadata()?.len();
        let mut zip = zip::ZipArchive::new(file)?;
        if zip.len() > MAX_ENTRIES {
            return Err(malformed(format!("has {} entries, at most {MAX_ENTRIES} are read", zip.len())));
        }
        let pickle_name = zip
            .file_names()
            .filter_map(Result::ok)
            .find(|name| name.ends_with("/data.pkl"))
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| malformed("has no data.pkl"))?;
        let root = pickle_name.trim_end_matches("data.pkl").to_owned();
        if let Ok(entry) = zip.by_name(&format!("{root}byteorder")) {
            let mut order = String::new();
            entry.take(16).read_to_string(&mut order)?;
            if order != "little" {
                return Err(malformed(format!("has the byte order {order:?}, only \"little\" is read")));
            }
        }
        let mut pickle = Vec::new();
        let entry = zip.by_name(&pickle_name)?;
        entry.take(MAX_PICKLE_BYTES + 1).read_to_end(&mut pickle)?;
        if pickle.len() as u64 > MAX_PICKLE_BYTES {
            return Err(malformed(format!("has a pickle of more than {MAX_PICKLE_BYTES} bytes")));
        }
        let mut machine = Machine::new(&pickle);
        let result = machine.run()?;
        let tensors = tensors(&machine, &result)?;
        let prefix = format!("{root}data/");
        let mut storages = BTreeMap::new();
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index)?;
            let Some(key) = entry.name()?.strip_prefix(&prefix).map(str::to_owned) else { continue };
            let start = entry.data_start().ok_or_else(|| malformed(format!("has no bytes for {key:?}")))?;
            let length = entry.size();
            let is_inside = start.checked_add(length).is_some_and(|end| end <= file_length);
            if entry.compression() != zip::CompressionMethod::Stored || !is_inside || entry.encrypted() {
                return Err(malformed(format!("keeps the storage {key:?} otherwise than torch.save does")));
            }
            storages.insert(key, (start, length));
        }
        Ok(Self { tensors, storages })
    }

    fn open_rows(file: &File) -> Result<Self, ArchiveError> {
        let file_length = file.metadata()?.len();
        let mut bytes = vec![0; file_length.min(MAX_PICKLE_BYTES) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let mut machine = Machine::new(&bytes);
        let magic = machine.run()?;
        if !matches!(&magic, Value::LargeInteger(number) if **number == MAGIC) {
            return Err(malformed("is neither a zip archive nor a file of torch.save before 1.6"));
        }
        let protocol = machine.run()?.integer();
        if protocol != Some(1001) {
            return Err(malformed("has another protocol of torch.save than 1001"));
        }
        machine.run()?;
        let result = machine.run()?;
        let tensors = tensors(&machine, &result)?;
        let keys = machine.run()?;
        let Value::List(keys) = keys else { return Err(malformed("has no list of storages")) };
        let sizes: BTreeMap<&str, usize> = tensors
            .values()
            .map(|tensor| (tensor.storage.key.as_str(), tensor.storage.format.size()))
            .collect();
        let mut storages = BTreeMap::new();
        let mut at = machine.position() as u64;
        for key in machine.list(keys) {
            let Value::Text(key) = key else { return Err(malformed("has a storage whose key is no text")) };
            let Some(size) = sizes.get(&**key) else {
                return Err(malformed(format!("has the storage {key:?}, which no tensor uses")));
            };
            let mut count = [0; 8];
            file.read_exact_at(&mut count, at)?;
            let length = u64::from_le_bytes(count).checked_mul(*size as u64);
            let start = at + 8;
            let end = length.and_then(|length| start.checked_add(length)).filter(|end| *end <= file_length);
            let end = end.ok_or_else(|| malformed(format!("ends within the storage {key:?}")))?;
            storages.insert(key.to_string(), (start, end - start));
            at = end;
        }
        Ok(Self { tensors, storages })
    }
}

/// The pickle's result as tensors by name.
fn tensors(
    machine: &Machine<'_>,
    result: &Value,
) -> Result<BTreeMap<String, std::rc::Rc<TensorView>>, ArchiveError> {
    let Value::Dict(place) = result else { return Err(malformed("holds no dictionary of tensors")) };
    machine
        .dict(*place)
        .iter()
        .map(|entry| match entry {
            (Value::Text(name), Value::Tensor(tensor)) => Ok((name.to_string(), std::rc::Rc::clone(tensor))),
            (Value::Text(name), _) => Err(malformed(format!("holds {name:?}, which is no tensor"))),
            _ => Err(malformed("holds a value whose key is no text")),
        })
        .collect()
}
