//! Reads numbers from a file that may be anything: nothing is allocated before the file has shown to be long enough.

use std::io::{ErrorKind, Read, Seek};

use crate::error::LoadError;

/// How much of a matrix is read at once, in bytes: a multiple of a number's size.
pub(super) const CHUNK_BYTES: usize = 1 << 16;

/// A file with what is left of it.
pub(super) struct Source<R> {
    reader: R,
    left: u64,
    name: String,
}

impl<R: Read + Seek> Source<R> {
    /// `length` is that of all that `reader` gives, `name` the file's in errors.
    pub(super) fn new(reader: R, length: u64, name: &str) -> Self {
        Self { reader, left: length, name: name.to_owned() }
    }

    /// The bytes that were not read yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// An error about the file's bytes.
    pub(super) fn corrupted(&self, message: impl std::fmt::Display) -> LoadError {
        LoadError::corrupted(&self.name, message)
    }

    /// An error about a sound file of a kind that is not read.
    pub(super) fn incompatible(&self, message: impl std::fmt::Display) -> LoadError {
        LoadError::Incompatible(format!("{}: {message}", self.name))
    }

    /// A whole number of 32 bits. `what` names it in errors.
    pub(super) fn i32(&mut self, what: &str) -> Result<i32, LoadError> {
        self.array(what).map(i32::from_le_bytes)
    }

    /// A whole number of 64 bits.
    pub(super) fn i64(&mut self, what: &str) -> Result<i64, LoadError> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// A 32-bit number that must lie in a range.
    pub(super) fn bounded(
        &mut self,
        what: &str,
        range: std::ops::RangeInclusive<i32>,
    ) -> Result<usize, LoadError> {
        let number = self.i32(what)?;
        if !range.contains(&number) {
            let (least, most) = range.into_inner();
            return Err(self.corrupted(format!("{what} is {number}, it must be {least} to {most}")));
        }
        usize::try_from(number).map_err(|_| self.corrupted(format!("{what} is negative")))
    }

    /// One byte that is 0 or 1.
    pub(super) fn flag(&mut self, what: &str) -> Result<bool, LoadError> {
        match self.array(what)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.corrupted(format!("{what} is {other}, it must be 0 or 1"))),
        }
    }

    /// Bytes up to a 0, which is read and left out, appended to `into`.
    pub(super) fn text(&mut self, what: &str, into: &mut Vec<u8>) -> Result<(), LoadError> {
        loop {
            match self.array(what)? {
                [0] => return Ok(()),
                [byte] => into.push(byte),
            }
        }
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>, LoadError> {
        let count = self.take(count, what)?;
        let mut bytes = vec![0; count];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// So many 32-bit floats, each of them a number.
    pub(super) fn floats(&mut self, count: u64, what: &str) -> Result<Vec<f32>, LoadError> {
        let length = count.checked_mul(4).ok_or_else(|| self.too_short(what))?;
        let mut left = self.take(length, what)?;
        let mut numbers = Vec::with_capacity(left / 4);
        let mut chunk = vec![0; CHUNK_BYTES.min(left)];
        while left > 0 {
            let part = chunk.len().min(left);
            self.fill(&mut chunk[..part], what)?;
            let float = |bytes: &[u8]| bytes.first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
            let begun = numbers.len();
            numbers.extend(chunk[..part].chunks_exact(4).map(float));
            // Texts that meet none of them would not show it. Without a way out in between, this is vectorised.
            if !numbers[begun..].iter().fold(true, |are_finite, number: &f32| are_finite & number.is_finite())
            {
                return Err(LoadError::NotFinite { file: self.name.clone(), tensor: what.to_owned() });
            }
            left -= part;
        }
        Ok(numbers)
    }

    /// Leaves out so many bytes.
    pub(super) fn skip(&mut self, count: u64, what: &str) -> Result<(), LoadError> {
        self.take(count, what)?;
        let offset = i64::try_from(count).map_err(|_| self.too_short(what))?;
        self.reader.seek_relative(offset).map_err(|error| LoadError::io(&self.name, error))
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], LoadError> {
        self.take(N as u64, what)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Counts bytes as read, where there are as many.
    fn take(&mut self, count: u64, what: &str) -> Result<usize, LoadError> {
        let left = self.left.checked_sub(count);
        let count = usize::try_from(count).ok();
        let (Some(left), Some(count)) = (left, count) else { return Err(self.too_short(what)) };
        self.left = left;
        Ok(count)
    }

    fn fill(&mut self, into: &mut [u8], what: &str) -> Result<(), LoadError> {
        self.reader.read_exact(into).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.too_short(what),
            _ => LoadError::io(&self.name, error),
        })
    }

    fn too_short(&self, what: &str) -> LoadError {
        self.corrupted(format!("it ends within {what}"))
    }
}
