//! Matrices of a fastText model: rows of numbers, or codes for them (product quantisation).
//!
//! A coded row is cut into parts of a few numbers; each part is one of 256 centroids, and its code says which. Where
//! rows were scaled to length 1 before, a further code says how long each was.

use std::io::{Read, Seek};

use super::source::Source;
use crate::error::LoadError;
use crate::weights::Purpose;

/// The centroids of each part (`ksub_`).
const CENTROIDS: usize = 256;

/// Rows of `columns` numbers each.
pub(super) struct Matrix {
    rows: u64,
    columns: usize,
    bytes: u64,
    numbers: Numbers,
}

enum Numbers {
    /// Only the size was asked for.
    Measured,
    Dense(Vec<f32>),
    Coded {
        /// One for each part of each row.
        codes: Vec<u8>,
        quantiser: Quantiser,
        /// One for each row, where lengths are apart.
        lengths: Option<(Vec<u8>, Quantiser)>,
    },
}

/// The centroids of a product quantisation.
struct Quantiser {
    /// The parts of a row, and the numbers of each but the last, which has what is left.
    parts: usize,
    part: usize,
    columns: usize,
    centroids: Vec<f32>,
}

impl Matrix {
    /// Reads `what`, a matrix of `columns` numbers a row.
    ///
    /// # Errors
    /// Where it is damaged or has another width.
    pub(super) fn read<R: Read + Seek>(
        source: &mut Source<R>,
        what: &str,
        is_coded: bool,
        columns: usize,
        purpose: Purpose,
    ) -> Result<Self, LoadError> {
        if is_coded {
            Self::coded(source, columns, purpose)
        } else {
            Self::dense(source, what, columns, purpose)
        }
    }

    fn dense<R: Read + Seek>(
        source: &mut Source<R>,
        what: &str,
        columns: usize,
        purpose: Purpose,
    ) -> Result<Self, LoadError> {
        let rows = size(source, columns)?;
        let count = rows.checked_mul(columns as u64).filter(|count| count.checked_mul(4).is_some());
        let count = count.ok_or_else(|| source.corrupted(format!("a matrix has {rows} rows")))?;
        let numbers = match purpose {
            Purpose::Run => Numbers::Dense(source.floats(count, what)?),
            Purpose::Measure => {
                source.skip(4 * count, what)?;
                Numbers::Measured
            }
        };
        Ok(Self { rows, columns, bytes: 4 * count, numbers })
    }

    fn coded<R: Read + Seek>(
        source: &mut Source<R>,
        columns: usize,
        purpose: Purpose,
    ) -> Result<Self, LoadError> {
        let has_lengths = source.flag("whether lengths are apart")?;
        let rows = size(source, columns)?;
        let count = source.bounded("the count of codes", 0..=i32::MAX)? as u64;
        let codes = codes(source, count, purpose)?;
        let quantiser = Quantiser::read(source, columns)?;
        if rows.checked_mul(quantiser.parts as u64) != Some(count) {
            let parts = quantiser.parts;
            return Err(source.corrupted(format!("{rows} rows of {parts} parts do not have {count} codes")));
        }
        let mut bytes = count + quantiser.bytes();
        let mut lengths = None;
        if has_lengths {
            let codes = self::codes(source, rows, purpose)?;
            let quantiser = Quantiser::read(source, 1)?;
            bytes += rows + quantiser.bytes();
            lengths = Some((codes, quantiser));
        }
        let numbers = match purpose {
            Purpose::Run => Numbers::Coded { codes, quantiser, lengths },
            Purpose::Measure => Numbers::Measured,
        };
        Ok(Self { rows, columns, bytes, numbers })
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a row, which must be there, to a vector.
    pub(super) fn add_row(&self, row: usize, vector: &mut [f32]) {
        match &self.numbers {
            Numbers::Measured => {}
            Numbers::Dense(numbers) => {
                let numbers = &numbers[row * self.columns..][..self.columns];
                vector.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
            }
            Numbers::Coded { codes, quantiser, lengths } => {
                let length = length(lengths.as_ref(), row);
                let codes = &codes[row * quantiser.parts..][..quantiser.parts];
                for (part, vector) in vector.chunks_mut(quantiser.part).enumerate() {
                    let centroid = quantiser.centroid(part, codes[part]);
                    vector.iter_mut().zip(centroid).for_each(|(sum, number)| *sum += length * number);
                }
            }
        }
    }

    /// The product of a row, which must be there, with a vector.
    pub(super) fn product(&self, row: usize, vector: &[f32]) -> f32 {
        let add = |sum: f32, (left, right): (&f32, &f32)| sum + left * right;
        match &self.numbers {
            Numbers::Measured => 0.0,
            Numbers::Dense(numbers) => {
                numbers[row * self.columns..][..self.columns].iter().zip(vector).fold(0.0, add)
            }
            Numbers::Coded { codes, quantiser, lengths } => {
                let codes = &codes[row * quantiser.parts..][..quantiser.parts];
                let parts = vector.chunks(quantiser.part).enumerate();
                let product = parts.fold(0.0, |sum, (part, vector)| {
                    quantiser.centroid(part, codes[part]).iter().zip(vector).fold(sum, add)
                });
                product * length(lengths.as_ref(), row)
            }
        }
    }
}

/// The length that a row was scaled from.
fn length(lengths: Option<&(Vec<u8>, Quantiser)>, row: usize) -> f32 {
    lengths.map_or(1.0, |(codes, quantiser)| quantiser.centroid(0, codes[row])[0])
}

/// The rows of a matrix whose width is known.
fn size<R: Read + Seek>(source: &mut Source<R>, columns: usize) -> Result<u64, LoadError> {
    let rows = source.i64("the rows of a matrix")?;
    let found = source.i64("the columns of a matrix")?;
    if found != columns as i64 {
        return Err(source.corrupted(format!("a matrix has {found} columns, dim says {columns}")));
    }
    u64::try_from(rows).map_err(|_| source.corrupted(format!("a matrix has {rows} rows")))
}

fn codes<R: Read + Seek>(source: &mut Source<R>, count: u64, purpose: Purpose) -> Result<Vec<u8>, LoadError> {
    match purpose {
        Purpose::Run => source.bytes(count, "the codes of a matrix"),
        Purpose::Measure => source.skip(count, "the codes of a matrix").map(|()| Vec::new()),
    }
}

impl Quantiser {
    fn read<R: Read + Seek>(source: &mut Source<R>, columns: usize) -> Result<Self, LoadError> {
        let width = i32::try_from(columns).unwrap_or(i32::MAX);
        source.bounded("the columns of a quantiser", width..=width)?;
        let parts = source.bounded("the parts of a quantiser", 1..=width)?;
        let part = source.bounded("the numbers of a part", 1..=width)?;
        let last = source.bounded("the numbers of the last part", 1..=width)?;
        if (parts - 1) * part + last != columns || last > part {
            return Err(source.corrupted(format!(
                "{parts} parts of {part} numbers, the last of {last}, are not {columns} columns"
            )));
        }
        let centroids = source.floats((columns * CENTROIDS) as u64, "the centroids of a quantiser")?;
        Ok(Self { parts, part, columns, centroids })
    }

    fn centroid(&self, part: usize, code: u8) -> &[f32] {
        let start = part * self.part;
        let width = self.part.min(self.columns - start);
        &self.centroids[start * CENTROIDS + usize::from(code) * width..][..width]
    }

    fn bytes(&self) -> u64 {
        4 * self.centroids.len() as u64
    }
}
