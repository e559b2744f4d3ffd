//! Special tokens that stand in a text in full.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::error::LoadError;

/// A stretch of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'text> {
    /// The number of a special token in the list.
    Special(usize),
    /// What lies between them.
    Text(&'text str),
}

/// Special tokens as they are searched for.
pub(super) struct SpecialTokens(AhoCorasick);

impl SpecialTokens {
    /// # Errors
    /// Where they are too many.
    pub(super) fn new(tokens: &[String]) -> Result<Self, LoadError> {
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(tokens);
        built.map(Self).map_err(|error| LoadError::Incompatible(format!("the special tokens: {error}")))
    }

    /// Cuts a text at the special tokens that it holds, as transformers' tokenizers do; of two that begin at one
    /// place the longer one counts.
    pub(super) fn split<'text>(&self, text: &'text str) -> Vec<Part<'text>> {
        let mut parts = Vec::new();
        let mut start = 0;
        for found in self.0.find_iter(text) {
            parts.extend((start < found.start()).then(|| Part::Text(&text[start..found.start()])));
            parts.push(Part::Special(found.pattern().as_usize()));
            start = found.end();
        }
        parts.extend((start < text.len()).then(|| Part::Text(&text[start..])));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_in_a_text_are_found_in_order() {
        let special = SpecialTokens::new(&["</s>", "<unk>"].map(str::to_owned)).unwrap();
        let expected =
            [Part::Text("a"), Part::Special(0), Part::Text("b"), Part::Special(1), Part::Special(0)];
        assert_eq!(special.split("a</s>b<unk></s>"), expected);
        assert_eq!(special.split(""), []);
    }
}
