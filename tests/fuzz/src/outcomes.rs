//! Which things have become of inputs so far.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What was said of inputs, without what follows from the input alone: numbers, and what stands in quotes.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(HashSet<u64>);

impl Outcomes {
    /// Whether this is the first such outcome.
    pub(crate) fn is_new(&mut self, outcome: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        let mut is_quoted = false;
        for character in outcome.chars() {
            if matches!(character, '"' | '`') {
                is_quoted = !is_quoted;
            } else if !is_quoted && !character.is_ascii_digit() {
                character.hash(&mut hasher);
            }
        }
        self.0.insert(hasher.finish())
    }

    /// How many different ones there were.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_quotations_make_no_difference() {
        let mut outcomes = Outcomes::default();
        assert!(outcomes.is_new("the tensor \"a\" ends at 5"));
        assert!(!outcomes.is_new("the tensor \"b 7\" ends at 67"));
        assert!(outcomes.is_new("the tensor \"a\" begins at 5"));
        assert_eq!(outcomes.count(), 2);
    }
}
