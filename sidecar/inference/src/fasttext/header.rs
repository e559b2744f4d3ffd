//! The beginning of a fastText file: what kind of model it is and how texts are cut up.

use std::io::{Read, Seek};

use super::source::Source;
use crate::error::LoadError;

/// What every fastText file begins with (`FASTTEXT_FILEFORMAT_MAGIC_INT32`).
const MAGIC: i32 = 793_712_314;
/// The versions of the format that are read. In 11, classifiers knew no pieces of words.
const VERSIONS: std::ops::RangeInclusive<i32> = 11..=12;
/// `model_name::sup`: a classifier. The others are word vectors.
const SUPERVISED: i32 = 3;
/// The most numbers of a row, the longest pieces of words and the longest runs of words, far beyond any that help.
const MAX_DIMENSION: i32 = 1 << 14;
const MAX_PIECE: i32 = 64;
const MAX_WORDS: i32 = 16;

/// How a classifier was trained to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Label by label along a tree: `hs`.
    HierarchicalSoftmax,
    /// Among all labels at once: `softmax`.
    Softmax,
}

/// What the rest of the file and the cutting up of texts follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// The numbers of a row.
    pub(super) dimension: usize,
    pub(super) loss: Loss,
    /// The most words in a row that count together.
    pub(super) words: usize,
    /// How many rows the pieces of words and the runs of words share.
    pub(super) buckets: u32,
    /// The fewest and the most letters of a piece; none where the most are 0.
    pub(super) pieces: (usize, usize),
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// Where it is none, or that of another kind of model.
    pub(super) fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Self, LoadError> {
        if source.i32("the magic number")? != MAGIC {
            return Err(source.corrupted("it is no fastText model: it does not begin with its magic number"));
        }
        let version = source.i32("the version")?;
        if !VERSIONS.contains(&version) {
            let (oldest, newest) = VERSIONS.into_inner();
            return Err(source
                .incompatible(format!("the format has version {version}; {oldest} and {newest} are read")));
        }
        let dimension = source.bounded("dim", 1..=MAX_DIMENSION)?;
        for unused in ["ws", "epoch", "minCount", "neg"] {
            source.i32(unused)?;
        }
        let words = source.bounded("wordNgrams", 0..=MAX_WORDS)?;
        let loss = source.i32("loss")?;
        let model = source.i32("model")?;
        let buckets = source.bounded("bucket", 0..=i32::MAX)?;
        let least = source.bounded("minn", 0..=MAX_PIECE)?;
        let most = source.bounded("maxn", 0..=MAX_PIECE)?;
        for unused in ["lrUpdateRate", "the first half of t", "the second half of t"] {
            source.i32(unused)?;
        }
        if model != SUPERVISED {
            return Err(
                source.incompatible("it holds word vectors and is no classifier (`fasttext supervised`)")
            );
        }
        let loss = match loss {
            1 => Loss::HierarchicalSoftmax,
            3 => Loss::Softmax,
            other => {
                let name = match other {
                    2 => "ns",
                    4 => "one-vs-all",
                    _ => "an unknown one",
                };
                return Err(source.incompatible(format!(
                    "the loss is {name} ({other}), whose numbers are no probabilities of one label among all; hs and \
                     softmax are read"
                )));
            }
        };
        let most = if version == *VERSIONS.start() { 0 } else { most };
        if buckets == 0 && (most > 0 || words > 1) {
            return Err(source.corrupted("bucket is 0, and pieces or runs of words need rows"));
        }
        Ok(Self { dimension, loss, words, buckets: buckets as u32, pieces: (least, most) })
    }
}
