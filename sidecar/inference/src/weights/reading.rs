//! Numbers of tensors, read from files a piece at a time.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::header::TensorInfo;
use crate::error::LoadError;

/// Numbers of a piece: few enough to stay in a processor's own cache between reading and packing, and as many as the
/// widest row has.
pub(super) const PIECE: usize = 1 << 16;

/// The most bytes that [`Space`] takes: the numbers of a piece as they are in the file, eight bytes each at most, as
/// they are read, and one row turned.
pub(super) const SPACE_BYTES: u64 = PIECE as u64 * (8 + 4 + 4);

/// What one thread reads into.
#[derive(Default)]
pub(super) struct Space {
    bytes: Vec<u8>,
    numbers: Vec<f32>,
    /// For rows whose numbers change places.
    pub(super) turned: Vec<f32>,
}

/// An open file of tensors.
pub(super) struct WeightFile {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) data_start: u64,
}

impl WeightFile {
    /// Reads some numbers of the tensor of a name and gives them to `take`, at most [`PIECE`] and whole rows of `row`
    /// numbers at a time, or one row where that is longer. All of them must be numbers.
    pub(super) fn read(
        &self,
        (tensor, info): (&str, &TensorInfo),
        numbers: Range<usize>,
        row: usize,
        space: &mut Space,
        take: &mut dyn FnMut(&[f32], &mut Vec<f32>),
    ) -> Result<(), LoadError> {
        let whole_rows = (PIECE / row.max(1)).max(1) * row.max(1);
        let size = info.format.size();
        let mut at = numbers.start;
        while at < numbers.end {
            let count = whole_rows.min(numbers.end - at);
            space.bytes.resize(count * size, 0);
            let place = self.data_start + info.start + (at * size) as u64;
            self.file
                .read_exact_at(&mut space.bytes, place)
                .map_err(|source| LoadError::io(&self.name, source))?;
            space.numbers.clear();
            info.format.decode(&space.bytes, &mut space.numbers);
            // Without a branch for each number this costs little beside reading it.
            if !space.numbers.iter().fold(true, |are_finite, number| are_finite & number.is_finite()) {
                return Err(LoadError::NotFinite { file: self.name.clone(), tensor: tensor.to_owned() });
            }
            take(&space.numbers, &mut space.turned);
            at += count;
        }
        Ok(())
    }
}
