//! Which texts are computed together.

use std::ops::Range;

use super::MAX_BATCH_TOKENS;

/// Groups texts by their lengths in tokens, in their order: no more than [`MAX_BATCH_TOKENS`] tokens together, unless one
/// text alone has more. Each group holds places in `lengths`.
#[must_use]
pub fn in_batches(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut tokens = 0;
    for (text, length) in lengths.iter().enumerate() {
        match batches.last_mut() {
            Some(batch) if tokens + length <= MAX_BATCH_TOKENS => {
                batch.end += 1;
                tokens += length;
            }
            _ => {
                batches.push(text..text + 1);
                tokens = *length;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_in_one_batch_and_no_batch_is_too_large(
            lengths in proptest::collection::vec(0usize..2000, 0..200),
        ) {
            let batches = in_batches(&lengths);
            let texts: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(texts, (0..lengths.len()).collect::<Vec<_>>());
            for batch in batches {
                let tokens: usize = lengths[batch.clone()].iter().sum();
                prop_assert!(batch.len() == 1 || tokens <= MAX_BATCH_TOKENS);
            }
        }
    }
}
