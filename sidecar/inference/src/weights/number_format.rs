//! The number formats of tensors in files, and their conversion to 32-bit floats.

use half::{bf16, f16};

/// How a file stores the numbers of a tensor, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberFormat {
    /// 64-bit IEEE float.
    F64,
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// Brain float: the upper half of a 32-bit float.
    Bf16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit signed integer.
    I16,
    /// 8-bit signed integer.
    I8,
    /// 8-bit unsigned integer.
    U8,
    /// A byte that is 0 or 1.
    Bool,
}

impl NumberFormat {
    /// The format that safetensors names so; `None` for formats that no supported model uses (8-bit floats,
    /// complex numbers, wide unsigned integers).
    #[must_use]
    pub fn from_safetensors(name: &str) -> Option<Self> {
        Some(match name {
            "F64" => Self::F64,
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            "I64" => Self::I64,
            "I32" => Self::I32,
            "I16" => Self::I16,
            "I8" => Self::I8,
            "U8" => Self::U8,
            "BOOL" => Self::Bool,
            _ => return None,
        })
    }

    /// Its name in safetensors.
    #[must_use]
    pub fn safetensors_name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// Whether its numbers have fractions, as weights do.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Bytes of one number.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Appends the numbers in `bytes` to `output`. A remainder shorter than one number is left out: callers
    /// pass whole numbers.
    pub(super) fn decode(self, bytes: &[u8], output: &mut Vec<f32>) {
        match self {
            Self::F64 => each(bytes, output, |raw| f64::from_le_bytes(raw) as f32),
            Self::F32 => each(bytes, output, f32::from_le_bytes),
            Self::F16 => each(bytes, output, |raw| f16::from_le_bytes(raw).to_f32()),
            Self::Bf16 => each(bytes, output, |raw| bf16::from_le_bytes(raw).to_f32()),
            Self::I64 => each(bytes, output, |raw| i64::from_le_bytes(raw) as f32),
            Self::I32 => each(bytes, output, |raw| i32::from_le_bytes(raw) as f32),
            Self::I16 => each(bytes, output, |raw| f32::from(i16::from_le_bytes(raw))),
            Self::I8 => each(bytes, output, |raw| f32::from(i8::from_le_bytes(raw))),
            Self::U8 | Self::Bool => each(bytes, output, |raw: [u8; 1]| f32::from(raw[0])),
        }
    }
}

fn each<const SIZE: usize>(bytes: &[u8], output: &mut Vec<f32>, convert: impl Fn([u8; SIZE]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<SIZE>();
    output.extend(numbers.iter().map(|raw| convert(*raw)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_converts_its_own_one() {
        let cases: [(NumberFormat, Vec<u8>); 10] = [
            (NumberFormat::F64, 1f64.to_le_bytes().to_vec()),
            (NumberFormat::F32, 1f32.to_le_bytes().to_vec()),
            (NumberFormat::F16, f16::ONE.to_le_bytes().to_vec()),
            (NumberFormat::Bf16, bf16::ONE.to_le_bytes().to_vec()),
            (NumberFormat::I64, 1i64.to_le_bytes().to_vec()),
            (NumberFormat::I32, 1i32.to_le_bytes().to_vec()),
            (NumberFormat::I16, 1i16.to_le_bytes().to_vec()),
            (NumberFormat::I8, vec![1]),
            (NumberFormat::U8, vec![1]),
            (NumberFormat::Bool, vec![1]),
        ];
        for (format, bytes) in cases {
            let mut output = Vec::new();
            format.decode(&bytes, &mut output);
            assert_eq!(output, [1.0], "{format:?}");
            assert_eq!(bytes.len(), format.size(), "{format:?}");
            assert_eq!(NumberFormat::from_safetensors(format.safetensors_name()), Some(format));
        }
    }
}
