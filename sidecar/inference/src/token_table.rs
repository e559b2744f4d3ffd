//! Tokens by their numbers and by their texts, in little more memory than the texts take.
//!
//! Maps of owned strings take a hundred bytes and more for a token of five, and translation models have 60,000.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Texts with numbers. It and its builder are read from a JSON object of texts with their numbers, as `vocab.json`.
pub struct TokenTable {
    /// All texts, in the order of their numbers.
    texts: Box<str>,
    /// Where the text at each place ends.
    ends: Box<[u32]>,
    /// The number at each place, ascending.
    numbers: Box<[u32]>,
    /// The places in the order of their texts.
    by_text: Box<[u32]>,
}

/// Collects the tokens of a [`TokenTable`]. The texts together must be less than 4 GiB, which files that are read as
/// a whole are far below.
#[derive(Default)]
pub struct TokenTableBuilder {
    texts: String,
    /// The number and the end of each text.
    tokens: Vec<(u32, u32)>,
}

impl TokenTableBuilder {
    /// Adds a token.
    pub fn push(&mut self, text: &str, number: u32) {
        self.texts.push_str(text);
        self.tokens.push((number, self.texts.len() as u32));
    }

    /// The table. Of tokens with the same number the one added last is the number's text; of those with the same text
    /// one has it.
    #[must_use]
    pub fn finish(self) -> TokenTable {
        let starts = std::iter::once(0).chain(self.tokens.iter().map(|token| token.1));
        let mut tokens: Vec<(u32, &str)> = starts
            .zip(&self.tokens)
            .map(|(start, (number, end))| (*number, &self.texts[start as usize..*end as usize]))
            .collect();
        tokens.sort_by_key(|token| token.0);
        let mut texts = String::with_capacity(self.texts.len());
        let mut ends = Vec::with_capacity(tokens.len());
        for (_, text) in &tokens {
            texts.push_str(text);
            ends.push(texts.len() as u32);
        }
        let mut by_text: Vec<u32> = (0..tokens.len() as u32).collect();
        by_text.sort_by_key(|place| tokens[*place as usize].1);
        by_text.dedup_by_key(|place| tokens[*place as usize].1);
        TokenTable {
            numbers: tokens.iter().map(|token| token.0).collect(),
            texts: texts.into(),
            ends: ends.into(),
            by_text: by_text.into(),
        }
    }
}

impl TokenTable {
    /// How many tokens there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// The text of a number.
    #[must_use]
    pub fn text(&self, number: u32) -> Option<&str> {
        let is_at = |place: usize| self.numbers.get(place) == Some(&number);
        let place = number as usize;
        // Most tables have no gaps, and need no search.
        if is_at(place) && !is_at(place + 1) {
            return Some(self.at(number));
        }
        let place = self.numbers.partition_point(|other| *other <= number).checked_sub(1)?;
        is_at(place).then(|| self.at(place as u32))
    }

    /// The number of a text.
    #[must_use]
    pub fn number(&self, text: &str) -> Option<u32> {
        let found = self.by_text.binary_search_by_key(&text, |place| self.at(*place)).ok()?;
        Some(self.numbers[self.by_text[found] as usize])
    }

    /// Every token, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..self.numbers.len()).map(|place| (self.numbers[place], self.at(place as u32)))
    }

    /// Every text once with its number, in the order of the texts' bytes.
    pub fn by_text(&self) -> impl Iterator<Item = (u32, &str)> {
        self.by_text.iter().map(|place| (self.numbers[*place as usize], self.at(*place)))
    }

    fn at(&self, place: u32) -> &str {
        let start = (place as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[start as usize..self.ends[place as usize] as usize]
    }
}

impl<'de> Deserialize<'de> for TokenTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TokenTableBuilder::deserialize(deserializer).map(TokenTableBuilder::finish)
    }
}

impl<'de> Deserialize<'de> for TokenTableBuilder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = TokenTableBuilder;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tokens with their numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<TokenTableBuilder, A::Error> {
        let mut tokens = TokenTableBuilder::default();
        while let Some((text, number)) = entries.next_entry::<String, u32>()? {
            tokens.push(&text, number);
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn table(tokens: &[(&str, u32)]) -> TokenTable {
        let mut builder = TokenTableBuilder::default();
        tokens.iter().for_each(|(text, number)| builder.push(text, *number));
        builder.finish()
    }

    #[test]
    fn numbers_may_have_gaps_and_more_than_one_text() {
        let table = table(&[("b", 7), ("", 2), ("a", 2), ("b", 9)]);
        assert_eq!((table.text(2), table.text(7), table.text(9)), (Some("a"), Some("b"), Some("b")));
        assert_eq!((table.text(0), table.text(3), table.text(10)), (None, None, None));
        assert_eq!((table.number(""), table.number("a"), table.number("b")), (Some(2), Some(2), Some(7)));
        assert_eq!(table.number("c"), None);
        assert_eq!(table.by_text().map(|token| token.1).collect::<Vec<_>>(), ["", "a", "b"]);
    }

    #[test]
    fn a_list_is_no_table() {
        let error = serde_json::from_str::<TokenTable>("[]").err().unwrap();
        assert!(error.to_string().contains("an object of tokens"), "{error}");
    }

    proptest! {
        #[test]
        fn every_token_is_found_both_ways(
            texts in prop::collection::btree_set("\\PC{0,4}", 0..40),
            step in 1..5_u32,
        ) {
            let map: BTreeMap<&String, u32> = texts.iter().zip((0..).step_by(step as usize)).collect();
            let table: TokenTable = serde_json::from_str(&serde_json::to_string(&map).unwrap()).unwrap();
            prop_assert_eq!(table.count(), map.len());
            for (text, number) in map {
                prop_assert_eq!(table.text(number), Some(text.as_str()));
                prop_assert_eq!(table.number(text), Some(number));
            }
        }
    }
}
