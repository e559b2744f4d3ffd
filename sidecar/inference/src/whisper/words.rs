//! Tokens to words, with the time of each. The rules are those of transformers' `_combine_tokens_into_words`, which
//! follow OpenAI's.

use super::vocabulary::Vocabulary;
use crate::engine::{EngineError, Word};

/// Languages that put no spaces between words; there each character is a word.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];
/// Punctuation that belongs to the word behind it.
const PREPENDED: &str = "\"'“¡¿([{-";
/// Punctuation that belongs to the word before it.
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";
/// What stands alone until it is merged into a neighbour.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// What a decoder writes for a character of which bytes are missing.
const REPLACEMENT: char = '\u{fffd}';

/// A token of text and when it was spoken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimedToken {
    /// The token.
    pub(super) token: u32,
    /// Seconds from the start of the clip.
    pub(super) start: f64,
    /// Seconds from the start of the clip.
    pub(super) end: f64,
}

/// The words of a segment's text tokens, in `language` as Whisper writes it.
///
/// # Errors
/// Where the tokenizer fails.
pub(super) fn words(
    vocabulary: &Vocabulary,
    tokens: &[TimedToken],
    language: &str,
) -> Result<Vec<Word>, EngineError> {
    let characters = whole_characters(tokens, |tokens| vocabulary.decode(tokens))?;
    let words = if WITHOUT_SPACES.contains(&language) { characters } else { at_spaces(characters) };
    Ok(merge_punctuation(words)
        .into_iter()
        .map(|Word { text, start, end }| Word { text: text.trim().to_owned(), start, end })
        .collect())
}

/// Puts tokens together until their bytes are whole characters.
fn whole_characters(
    tokens: &[TimedToken],
    decode: impl Fn(&[u32]) -> Result<String, EngineError>,
) -> Result<Vec<Word>, EngineError> {
    let ids: Vec<u32> = tokens.iter().map(|token| token.token).collect();
    let all: Vec<char> = decode(&ids)?.chars().collect();
    let mut words = Vec::new();
    let mut done = 0;
    let mut first = 0;
    for last in 0..tokens.len() {
        let text = decode(&ids[first..=last])?;
        // A character of which the whole text has no more than this is as whole as it gets.
        let missing = text.chars().position(|character| character == REPLACEMENT);
        let is_whole = missing.is_none_or(|at| all.get(done + at).is_none_or(|there| *there == REPLACEMENT));
        if is_whole {
            done += text.chars().count();
            words.push(Word { text, start: tokens[first].start, end: tokens[last].end });
            first = last + 1;
        }
    }
    Ok(words)
}

/// Joins what no space and no punctuation divides.
fn at_spaces(parts: Vec<Word>) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for part in parts {
        let begins = part.text.starts_with(' ') || PUNCTUATION.contains(part.text.trim());
        match words.last_mut() {
            Some(word) if !begins => append(word, part),
            _ => words.push(part),
        }
    }
    words
}

/// Gives punctuation to the word that it belongs to.
fn merge_punctuation(words: Vec<Word>) -> Vec<Word> {
    let mut prepended: Vec<Word> = Vec::new();
    for word in words.into_iter().rev() {
        match prepended.last_mut() {
            Some(next) if word.text.starts_with(' ') && PREPENDED.contains(word.text.trim()) => {
                next.text.insert_str(0, &word.text);
                next.start = word.start;
            }
            _ => prepended.push(word),
        }
    }
    let mut merged: Vec<Word> = Vec::new();
    for word in prepended.into_iter().rev() {
        match merged.last_mut() {
            Some(before) if !before.text.ends_with(' ') && APPENDED.contains(word.text.as_str()) => {
                append(before, word);
            }
            _ => merged.push(word),
        }
    }
    merged.retain(|word| !word.text.is_empty());
    merged
}

fn append(word: &mut Word, part: Word) {
    word.text.push_str(&part.text);
    word.end = part.end;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(texts: &[&str]) -> Vec<Word> {
        let word = |(at, text): (usize, &&str)| Word {
            text: (*text).to_owned(),
            start: at as f64,
            end: at as f64 + 1.0,
        };
        texts.iter().enumerate().map(word).collect()
    }

    fn found(words: &[Word]) -> Vec<(&str, f64, f64)> {
        words.iter().map(|word| (word.text.as_str(), word.start, word.end)).collect()
    }

    #[test]
    fn punctuation_goes_to_its_word() {
        let words =
            merge_punctuation(at_spaces(timed(&[" Mr", ".", " Qu", "il", "ter", " \"", "is", ",\"", "!"])));
        assert_eq!(found(&words), [(" Mr.", 0.0, 2.0), (" Quilter", 2.0, 5.0), (" \"is,\"!", 5.0, 9.0)]);
        assert_eq!(
            found(&merge_punctuation(timed(&["你", "，", "好"]))),
            [("你，", 0.0, 2.0), ("好", 2.0, 3.0)]
        );
        assert_eq!(merge_punctuation(Vec::new()), []);
    }

    #[test]
    fn a_character_of_several_tokens_is_one_piece() {
        let tokens: Vec<TimedToken> = "aé\u{4f60}"
            .bytes()
            .enumerate()
            .map(|(at, byte)| TimedToken { token: u32::from(byte), start: at as f64, end: at as f64 + 1.0 })
            .collect();
        let decode = |tokens: &[u32]| {
            let bytes: Vec<u8> = tokens.iter().map(|token| *token as u8).collect();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let pieces = whole_characters(&tokens, decode).expect("decoded");
        assert_eq!(found(&pieces), [("a", 0.0, 1.0), ("é", 1.0, 3.0), ("\u{4f60}", 3.0, 6.0)]);
        // What stays broken to the end is given as it is.
        let broken = whole_characters(&tokens[..2], decode).expect("decoded");
        assert_eq!(found(&broken), [("a", 0.0, 1.0), ("\u{fffd}", 1.0, 2.0)]);
    }
}
