//! From the mean of a text's rows to the probability of each label.

use std::io::{Read, Seek};

use super::dictionary::{Label, MAX_COUNT};
use super::header::Loss;
use super::matrix::Matrix;
use super::source::Source;
use crate::engine::{EngineError, LabelScore};
use crate::error::LoadError;

/// What fastText adds to each probability before it takes its logarithm (`std_log`).
const TINY: f64 = 1e-5;

/// The labels, with what compares a text with them.
pub(super) struct Output {
    names: Vec<String>,
    matrix: Matrix,
    /// Of the hierarchical softmax: the two branches of each turning, the root's last. The numbers below the count of
    /// labels are labels, the others turnings.
    tree: Option<Vec<[usize; 2]>>,
}

impl Output {
    /// Checks that there is a row for each label.
    ///
    /// # Errors
    /// Where there is not.
    pub(super) fn new<R: Read + Seek>(
        loss: Loss,
        labels: &[Label],
        matrix: Matrix,
        source: &Source<R>,
    ) -> Result<Self, LoadError> {
        if matrix.rows() != labels.len() as u64 {
            let (rows, labels) = (matrix.rows(), labels.len());
            return Err(source.corrupted(format!("the output matrix has {rows} rows for {labels} labels")));
        }
        let tree = match loss {
            Loss::Softmax => None,
            Loss::HierarchicalSoftmax => {
                let counts: Vec<i64> = labels.iter().map(|label| label.count).collect();
                Some(tree(&counts))
            }
        };
        Ok(Self { names: labels.iter().map(|label| label.name.clone()).collect(), matrix, tree })
    }

    /// How many labels there are.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let names: usize = self.names.iter().map(|name| name.len() + size_of::<String>()).sum();
        let tree = self.tree.as_ref().map_or(0, |tree| tree.len() * size_of::<[usize; 2]>());
        self.matrix.bytes() + (names + tree) as u64
    }

    /// Every label with its probability, most probable first; the earlier of equal ones first.
    ///
    /// # Errors
    /// Where a number is not finite.
    pub(super) fn probable(&self, hidden: &[f32]) -> Result<Vec<LabelScore>, EngineError> {
        let scores = match &self.tree {
            None => self.softmax(hidden),
            Some(tree) => self.descend(tree, hidden),
        };
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(EngineError::NotFinite("the probability of a label"));
        }
        let mut labels: Vec<LabelScore> = self
            .names
            .iter()
            .zip(scores)
            // What fastText adds can lift a probability above 1.
            .map(|(name, score)| LabelScore { label: name.clone(), score: score.exp().min(1.0) })
            .collect();
        labels.sort_by(|left, right| right.score.total_cmp(&left.score));
        Ok(labels)
    }

    /// The logarithms of the probabilities.
    fn softmax(&self, hidden: &[f32]) -> Vec<f32> {
        let mut numbers: Vec<f32> =
            (0..self.names.len()).map(|label| self.matrix.product(label, hidden)).collect();
        let largest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        numbers.iter_mut().for_each(|number| *number = (*number - largest).exp());
        let sum: f32 = numbers.iter().sum();
        numbers.into_iter().map(|number| logarithm(number / sum)).collect()
    }

    /// The logarithms of the probabilities, from the root down: a branch has its turning's and that of turning there.
    fn descend(&self, tree: &[[usize; 2]], hidden: &[f32]) -> Vec<f32> {
        let labels = self.names.len();
        let mut scores = vec![0.0f32; labels + tree.len()];
        // Every turning stands behind its branches.
        for (turning, [left, right]) in tree.iter().enumerate().rev() {
            let product = self.matrix.product(turning, hidden);
            let to_the_right = (1.0 / (1.0 + f64::from((-product).exp()))) as f32;
            let score = scores[labels + turning];
            scores[*left] = score + logarithm((1.0 - f64::from(to_the_right)) as f32);
            scores[*right] = score + logarithm(to_the_right);
        }
        scores.truncate(labels);
        scores
    }
}

fn logarithm(probability: f32) -> f32 {
    (f64::from(probability) + TINY).ln() as f32
}

/// The Huffman tree that fastText builds over labels from their counts. There must be at least one label, and the counts
/// must add up to less than [`MAX_COUNT`], which stands for a turning that is not built yet, so that none such is taken.
/// Labels are taken from the last one on, as they come most frequent first.
fn tree(counts: &[i64]) -> Vec<[usize; 2]> {
    let labels = counts.len();
    let turnings = labels - 1;
    let mut sums: Vec<i64> = counts.to_vec();
    sums.resize(labels + turnings, MAX_COUNT);
    let mut tree = Vec::with_capacity(turnings);
    let mut leaves = labels;
    let mut turning = labels;
    for next in labels..labels + turnings {
        let branches = [(); 2].map(|()| {
            let leaf = leaves.checked_sub(1).filter(|leaf| sums[*leaf] < sums[turning]);
            match leaf {
                Some(leaf) => {
                    leaves = leaf;
                    leaf
                }
                None => {
                    turning += 1;
                    turning - 1
                }
            }
        });
        sums[next] = sums[branches[0]] + sums[branches[1]];
        tree.push(branches);
    }
    tree
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rarer_labels_lie_deeper() {
        assert_eq!(tree(&[7]), Vec::<[usize; 2]>::new());
        assert_eq!(tree(&[9, 4]), [[1, 0]]);
        assert_eq!(tree(&[10, 5, 2, 1]), [[3, 2], [4, 1], [5, 0]]);
        assert_eq!(tree(&[1, 1, 1, 1]), [[3, 2], [1, 0], [4, 5]]);
    }

    proptest! {
        #[test]
        fn every_branch_is_taken_once_and_stands_before_its_turning(
            counts in proptest::collection::vec(0i64..1_000_000, 1..60),
        ) {
            let tree = tree(&counts);
            let labels = counts.len();
            let mut seen: Vec<usize> = tree.concat();
            for (turning, branches) in tree.iter().enumerate() {
                prop_assert!(branches.iter().all(|branch| *branch < labels + turning));
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..(2 * labels - 2)).collect::<Vec<_>>());
        }
    }
}
