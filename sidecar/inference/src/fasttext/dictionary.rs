//! The words and labels of a fastText model.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::source::Source;
use crate::error::LoadError;

/// What labels begin with, in training texts and in the file.
pub(super) const LABEL_PREFIX: &str = "__label__";

/// The most labels: many times those of the largest published classifiers.
const MAX_LABELS: i32 = 1 << 20;
/// fastText's own bound of what labels may count together: its tree takes this for "nothing here yet".
pub(super) const MAX_COUNT: i64 = 1_000_000_000_000_000;
/// The fewest bytes of an entry: the end of its text, its count, its kind.
const MIN_ENTRY_BYTES: u64 = 10;
/// The bytes of an entry of the pruned rows.
const PRUNED_BYTES: u64 = 8;

/// fastText's hash, 32-bit FNV-1a. Bytes count as signed ones, as they did where the first models were trained.
#[must_use]
pub(super) fn hash(text: &[u8]) -> u32 {
    text.iter()
        .fold(2_166_136_261, |hash, byte| (hash ^ i32::from(*byte as i8) as u32).wrapping_mul(16_777_619))
}

/// A label with how often it occurred in training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) count: i64,
}

/// Words first, then labels; each with its number.
pub(super) struct Dictionary {
    /// All texts, one behind the other.
    texts: Vec<u8>,
    /// Where each text ends.
    ends: Vec<usize>,
    /// The numbers of the entries in the order of their texts. A search in it takes the same time whatever the texts
    /// are; fastText's table of hashes can be made to take for ever.
    order: Vec<u32>,
    words: usize,
    labels: Vec<Label>,
    /// For the pieces that were kept, their rows; `None` where all were.
    pruned: Option<HashMap<u32, u32>>,
}

impl Dictionary {
    /// Reads a dictionary.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(super) fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Self, LoadError> {
        let size = source.bounded("the size of the dictionary", 0..=i32::MAX)?;
        let words = source.bounded("the count of words", 0..=i32::MAX)?;
        let count = source.bounded("the count of labels", 1..=MAX_LABELS)?;
        source.i64("the count of tokens")?;
        let pruned = source.i64("the count of pruned rows")?;
        if words.checked_add(count) != Some(size) {
            return Err(source.corrupted(format!("{words} words and {count} labels are not {size} entries")));
        }
        let pruned_count = u64::try_from(pruned).ok();
        let needed = pruned_count.unwrap_or(0).checked_mul(PRUNED_BYTES);
        let needed = needed.and_then(|needed| needed.checked_add(size as u64 * MIN_ENTRY_BYTES));
        if needed.is_none_or(|needed| needed > source.left()) {
            return Err(
                source.corrupted(format!("it is too short for {size} entries and {pruned} pruned rows"))
            );
        }
        let mut dictionary = Self {
            texts: Vec::new(),
            ends: Vec::with_capacity(size),
            order: (0..size as u32).collect(),
            words,
            labels: Vec::with_capacity(count),
            pruned: None,
        };
        for number in 0..size {
            dictionary.read_entry(source, number)?;
        }
        let mut order = std::mem::take(&mut dictionary.order);
        order.sort_by(|left, right| dictionary.text(*left).cmp(dictionary.text(*right)));
        dictionary.order = order;
        let sum = dictionary.labels.iter().try_fold(0i64, |sum, label| sum.checked_add(label.count));
        if sum.is_none_or(|sum| sum >= MAX_COUNT) {
            return Err(source.corrupted("the counts of the labels are too large"));
        }
        if let Some(count) = pruned_count {
            let mut rows = HashMap::with_capacity(usize::try_from(count).unwrap_or_default());
            for _ in 0..count {
                let bucket = source.bounded("a pruned bucket", 0..=i32::MAX)?;
                let row = source.bounded("a pruned row", 0..=i32::MAX)?;
                rows.insert(bucket as u32, row as u32);
            }
            dictionary.pruned = Some(rows);
        }
        Ok(dictionary)
    }

    fn read_entry<R: Read + Seek>(&mut self, source: &mut Source<R>, number: usize) -> Result<(), LoadError> {
        let start = self.texts.len();
        source.text("a word", &mut self.texts)?;
        self.ends.push(self.texts.len());
        let count = source.i64("the count of a word")?;
        let is_label = source.flag("the kind of a word")?;
        if is_label != (number >= self.words) {
            return Err(
                source.corrupted(format!("entry {number} is no {}", if is_label { "word" } else { "label" }))
            );
        }
        if is_label {
            let text = std::str::from_utf8(&self.texts[start..])
                .map_err(|_| source.corrupted(format!("label {number} is not UTF-8")))?;
            if !(0..MAX_COUNT).contains(&count) {
                return Err(source.corrupted(format!("label {number} has the count {count}")));
            }
            let name = text.strip_prefix(LABEL_PREFIX).unwrap_or(text).to_owned();
            self.labels.push(Label { name, count });
        }
        Ok(())
    }

    fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.texts[start..self.ends[number]]
    }

    /// The number of a word or label, the last where a text occurs more than once.
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let behind = self.order.partition_point(|number| self.text(*number) <= text);
        let number = *self.order.get(behind.checked_sub(1)?)?;
        (self.text(number) == text).then_some(number)
    }

    /// How many words there are; labels have the numbers from there on.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Whether rows of pieces were left out of the matrix.
    pub(super) fn is_pruned(&self) -> bool {
        self.pruned.is_some()
    }

    /// The row of a bucket among those of all buckets; `None` where it was left out.
    pub(super) fn row_of_bucket(&self, bucket: u32) -> Option<u32> {
        match &self.pruned {
            None => Some(bucket),
            Some(rows) => rows.get(&bucket).copied(),
        }
    }

    /// The last row of a bucket that was kept; `None` where none was left out, or none kept.
    pub(super) fn last_pruned_row(&self) -> Option<u32> {
        self.pruned.as_ref()?.values().max().copied()
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let labels: usize = self.labels.iter().map(|label| label.name.len() + size_of::<Label>()).sum();
        let numbers = self.ends.len() * size_of::<usize>() + self.order.len() * size_of::<u32>();
        // A map keeps an eighth of its places empty, and a byte for each.
        let pruned = self.pruned.as_ref().map_or(0, |rows| rows.capacity() * 9 * 8 / 7);
        (self.texts.len() + labels + numbers + pruned) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_as_signed_ones() {
        assert_eq!(hash(b""), 2_166_136_261);
        // The published values of 32-bit FNV-1a, for which ASCII makes no difference.
        assert_eq!(hash(b"a"), 0xe40c_292c);
        assert_eq!(hash(b"foobar"), 0xbf9c_f968);
        let unsigned = (2_166_136_261u32 ^ 0xc3).wrapping_mul(16_777_619);
        assert_ne!(hash(b"\xc3"), unsigned);
        assert_eq!(hash(b"\xc3"), (2_166_136_261u32 ^ 0xffff_ffc3).wrapping_mul(16_777_619));
    }
}
