//! Which rows of the matrix a text names: its words, the pieces of its words, and runs of its words.

use std::io::{Read, Seek};

use super::dictionary::{Dictionary, LABEL_PREFIX, hash};
use super::header::Header;
use super::source::Source;
use crate::error::LoadError;

/// What stands for the end of a text. It is a word like any other but has no pieces, and nothing after it is read.
const END: &[u8] = b"</s>";
/// What fastText multiplies the hash of a run of words with before it adds the next word's.
const RUN_FACTOR: u64 = 116_049_371;

/// How a model cuts texts up.
pub(super) struct Features {
    /// The most words in a row that count together.
    words: usize,
    buckets: u32,
    /// The fewest and the most letters of a piece.
    pieces: (usize, usize),
}

impl Features {
    /// Checks that each row that a text could name is there.
    ///
    /// # Errors
    /// Where the matrix has too few rows.
    pub(super) fn new<R: Read + Seek>(
        header: &Header,
        dictionary: &Dictionary,
        rows: u64,
        source: &Source<R>,
    ) -> Result<Self, LoadError> {
        let Header { words, buckets, pieces, .. } = *header;
        let of_buckets = match (dictionary.is_pruned(), pieces.1 > 0 || words > 1) {
            (true, _) => dictionary.last_pruned_row().map_or(0, |row| u64::from(row) + 1),
            (false, true) => u64::from(buckets),
            (false, false) => 0,
        };
        let needed = dictionary.words() as u64 + of_buckets;
        if needed > rows || rows == 0 {
            return Err(source.corrupted(format!(
                "the input matrix has {rows} rows, the dictionary and its buckets need {}",
                needed.max(1)
            )));
        }
        Ok(Self { words, buckets, pieces })
    }

    /// Calls `use_row` with each row that a text names, in fastText's order: as often as it is named.
    pub(super) fn each(&self, dictionary: &Dictionary, text: &[u8], mut use_row: impl FnMut(usize)) {
        let mut hashes = Vec::new();
        let words = text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
        for word in words.chain([END]) {
            let number = dictionary.find(word);
            let is_label = match number {
                Some(number) => number as usize >= dictionary.words(),
                None => word.starts_with(LABEL_PREFIX.as_bytes()),
            };
            if !is_label {
                if let Some(number) = number {
                    use_row(number as usize);
                }
                if word != END {
                    self.pieces(dictionary, word, &mut use_row);
                }
                // fastText keeps hashes as signed numbers.
                hashes.push(hash(word) as i32);
            }
            if word == END {
                break;
            }
        }
        self.runs(dictionary, &hashes, &mut use_row);
    }

    /// The pieces of a word, its edges marked: every run of so many letters, but for an edge alone.
    fn pieces(&self, dictionary: &Dictionary, word: &[u8], use_row: &mut impl FnMut(usize)) {
        let (least, most) = self.pieces;
        if most == 0 {
            return;
        }
        let word = [b"<", word, b">"].concat();
        let is_start = |place: usize| word.get(place).is_none_or(|byte| byte & 0xC0 != 0x80);
        let starts: Vec<usize> = (0..=word.len()).filter(|place| is_start(*place)).collect();
        for (first, start) in starts.iter().enumerate().take(starts.len() - 1) {
            for (letters, end) in (1..=most).zip(&starts[first + 1..]) {
                let is_edge = letters == 1 && (*start == 0 || *end == word.len());
                if letters >= least && !is_edge {
                    let bucket = hash(&word[*start..*end]) % self.buckets;
                    self.use_bucket(dictionary, bucket, use_row);
                }
            }
        }
    }

    /// Runs of two words and more.
    fn runs(&self, dictionary: &Dictionary, hashes: &[i32], use_row: &mut impl FnMut(usize)) {
        if self.words < 2 {
            return;
        }
        for (first, word) in hashes.iter().enumerate() {
            let mut run = i64::from(*word) as u64;
            for next in hashes[first + 1..].iter().take(self.words - 1) {
                run = run.wrapping_mul(RUN_FACTOR).wrapping_add(i64::from(*next) as u64);
                let bucket = (run % u64::from(self.buckets)) as u32;
                self.use_bucket(dictionary, bucket, use_row);
            }
        }
    }

    fn use_bucket(&self, dictionary: &Dictionary, bucket: u32, use_row: &mut impl FnMut(usize)) {
        if let Some(row) = dictionary.row_of_bucket(bucket) {
            use_row(dictionary.words() + row as usize);
        }
    }
}

/// What parts words in fastText.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x0B | 0x0C | 0)
}
