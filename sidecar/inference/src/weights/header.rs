//! The header of a safetensors file, checked in full before anything is sized by it.
//!
//! The format (huggingface/safetensors, "Format"): 8 bytes of header length, little-endian; a JSON object of
//! tensors by name, each with its number format, shape and byte range, and at most one `__metadata__` of
//! strings; then the bytes of the tensors without holes. Nothing here touches a file.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::number_format::NumberFormat;

/// The longest header that is read, in bytes. The largest published models need less than one percent of it.
pub const MAX_HEADER_BYTES: u64 = 32 << 20;

/// The most dimensions of a tensor. Convolutions, the deepest that occur, have five.
pub const MAX_DIMENSIONS: usize = 8;

/// The key that holds strings about the file instead of a tensor.
const METADATA: &str = "__metadata__";

/// Why a header was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// The file ends within the 8 bytes of the header's length.
    #[error("the file has {0} bytes, a safetensors file at least 10")]
    TooShort(u64),
    /// The header's length is beyond [`MAX_HEADER_BYTES`].
    #[error("the header claims {0} bytes, at most {MAX_HEADER_BYTES} are read")]
    TooLong(u64),
    /// The header's length is beyond the end of the file.
    #[error("the header claims {claimed} bytes, the file has {available} after its length")]
    BeyondFile {
        /// The length that the first 8 bytes claim.
        claimed: u64,
        /// The bytes that the file has after them.
        available: u64,
    },
    /// The header is not UTF-8.
    #[error("the header is not UTF-8 from its byte {0} on")]
    NotUtf8(usize),
    /// The header is not JSON, or not of the form that safetensors defines.
    #[error("the header is not a safetensors header: {0}")]
    Malformed(String),
    /// A tensor's numbers are in a format that no supported model uses.
    #[error("the tensor {tensor:?} has the number format {format:?}, which is not supported")]
    UnsupportedFormat {
        /// The tensor's name.
        tensor: String,
        /// The format as the header names it.
        format: String,
    },
    /// A tensor has more than [`MAX_DIMENSIONS`] dimensions.
    #[error("the tensor {tensor:?} has {dimensions} dimensions, at most {MAX_DIMENSIONS} are read")]
    TooManyDimensions {
        /// The tensor's name.
        tensor: String,
        /// How many it has.
        dimensions: usize,
    },
    /// The product of a tensor's dimensions and the size of its numbers does not fit 64 bits.
    #[error("the size of the tensor {0:?} overflows")]
    Overflow(String),
    /// A tensor's byte range is not as long as its shape needs.
    #[error("the tensor {tensor:?} has {found} bytes, its shape needs {needed}")]
    WrongLength {
        /// The tensor's name.
        tensor: String,
        /// The bytes of its range.
        found: u64,
        /// The bytes that shape and number format need.
        needed: u64,
    },
    /// A tensor's range starts before the one in front of it ends, or ends before it starts.
    #[error("the bytes of the tensor {0:?} overlap others")]
    Overlap(String),
    /// Bytes in front of a tensor belong to no tensor.
    #[error("the bytes in front of the tensor {0:?} belong to no tensor")]
    Gap(String),
    /// The last tensor ends elsewhere than the file.
    #[error("the tensors end at byte {tensors} of {file}")]
    WrongEnd {
        /// Where the tensors end, from the end of the header.
        tensors: u64,
        /// Where the file ends, from the end of the header.
        file: u64,
    },
}

/// Where a tensor lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// How its numbers are stored.
    pub format: NumberFormat,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its first byte, from the end of the header.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl TensorInfo {
    /// How many numbers it has.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.length / self.format.size() as u64
    }
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The strings about the file. `safetensors.torch.save_model` maps the names of tensors that share their
    /// bytes with another one to that one's name here.
    pub metadata: BTreeMap<String, String>,
}

/// How long the header is that follows the file's first 8 bytes.
///
/// # Errors
/// Where the length is beyond the file or beyond [`MAX_HEADER_BYTES`].
pub fn header_length(first: [u8; 8], file_length: u64) -> Result<usize, HeaderError> {
    let claimed = u64::from_le_bytes(first);
    let available = file_length.checked_sub(8).ok_or(HeaderError::TooShort(file_length))?;
    if claimed > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLong(claimed));
    }
    if claimed > available {
        return Err(HeaderError::BeyondFile { claimed, available });
    }
    usize::try_from(claimed).map_err(|_| HeaderError::TooLong(claimed))
}

/// Checks a header (without the 8 bytes of its length) against a file of `file_length` bytes in all.
///
/// # Errors
/// Where it is not exactly what the format allows; see [`HeaderError`].
pub fn parse(header: &[u8], file_length: u64) -> Result<Header, HeaderError> {
    let text = std::str::from_utf8(header).map_err(|error| HeaderError::NotUtf8(error.valid_up_to()))?;
    if !text.starts_with('{') {
        return Err(HeaderError::Malformed("it does not begin with '{'".to_owned()));
    }
    let raw: RawHeader =
        serde_json::from_str(text).map_err(|error| HeaderError::Malformed(error.to_string()))?;
    let data_length = file_length
        .checked_sub(8)
        .and_then(|rest| rest.checked_sub(header.len() as u64))
        .ok_or(HeaderError::TooShort(file_length))?;
    let tensors = raw
        .tensors
        .into_iter()
        .map(|(name, tensor)| check_tensor(&name, tensor).map(|info| (name, info)))
        .collect::<Result<BTreeMap<_, _>, _>>()?;
    check_ranges(&tensors, data_length)?;
    Ok(Header { tensors, metadata: raw.metadata })
}

fn check_tensor(name: &str, raw: RawTensor) -> Result<TensorInfo, HeaderError> {
    let format = NumberFormat::from_safetensors(&raw.dtype).ok_or_else(|| {
        HeaderError::UnsupportedFormat { tensor: name.to_owned(), format: raw.dtype.clone() }
    })?;
    if raw.shape.len() > MAX_DIMENSIONS {
        return Err(HeaderError::TooManyDimensions { tensor: name.to_owned(), dimensions: raw.shape.len() });
    }
    let overflow = || HeaderError::Overflow(name.to_owned());
    let needed = raw
        .shape
        .iter()
        .try_fold(format.size() as u64, |size, dimension| size.checked_mul(*dimension))
        .ok_or_else(overflow)?;
    let shape = raw
        .shape
        .iter()
        .map(|dimension| usize::try_from(*dimension).map_err(|_| overflow()))
        .collect::<Result<_, _>>()?;
    let (start, end) = raw.data_offsets;
    let found = end.checked_sub(start).ok_or_else(|| HeaderError::Overlap(name.to_owned()))?;
    if found != needed {
        return Err(HeaderError::WrongLength { tensor: name.to_owned(), found, needed });
    }
    Ok(TensorInfo { format, shape, start, length: found })
}

/// The ranges must tile the data: each begins where the one before ends, the last ends with the file.
fn check_ranges(tensors: &BTreeMap<String, TensorInfo>, data_length: u64) -> Result<(), HeaderError> {
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_by_key(|(_, info)| (info.start, info.length));
    let mut end = 0;
    for (name, info) in in_order {
        match info.start.cmp(&end) {
            std::cmp::Ordering::Less => return Err(HeaderError::Overlap(name.clone())),
            std::cmp::Ordering::Greater => return Err(HeaderError::Gap(name.clone())),
            // The sum is the range's own end, which was read from 64 bits.
            std::cmp::Ordering::Equal => end = info.start + info.length,
        }
    }
    if end == data_length { Ok(()) } else { Err(HeaderError::WrongEnd { tensors: end, file: data_length }) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The JSON object, read with an eye on repeated keys: JSON parsers keep the last of them, so that two readers
/// of the same file could see different tensors.
#[derive(Default)]
struct RawHeader {
    tensors: BTreeMap<String, RawTensor>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueKeys)
    }
}

struct UniqueKeys;

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = RawHeader;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut header = RawHeader::default();
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                if has_metadata {
                    return Err(A::Error::custom(format_args!("the key {METADATA:?} occurs twice")));
                }
                has_metadata = true;
                header.metadata = map.next_value()?;
            } else {
                let tensor = map.next_value::<RawTensor>()?;
                if header.tensors.insert(name.clone(), tensor).is_some() {
                    return Err(A::Error::custom(format_args!("the key {name:?} occurs twice")));
                }
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests;
