//! How far two answers to the same question agree.

/// The fewest insertions, deletions and replacements that make one sequence the other (Levenshtein).
#[must_use]
pub fn edit_distance<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    // One row of the table at a time: `row[j]` is the distance of what was read of `left` and `right[..j]`.
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, item) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (place, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(item != other);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[right.len()]
}

/// The edit distance as a part of the reference's length; of an empty reference, 1 for anything else.
#[must_use]
pub fn edit_rate<T: PartialEq>(reference: &[T], found: &[T]) -> f64 {
    edit_distance(reference, found) as f64 / reference.len().max(1) as f64
}

/// How many of the first items are equal.
#[must_use]
pub fn common_prefix<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// The words of a text as word error rates are counted: lower case, without punctuation but for apostrophes within
/// words; a hyphen parts words.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let kept: String = text
        .to_lowercase()
        .chars()
        .map(|one| match one {
            '\u{2019}' => '\'',
            one if one.is_alphanumeric() || one == '\'' => one,
            _ => ' ',
        })
        .collect();
    kept.split_whitespace()
        .map(|word| word.trim_matches('\'').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// The word error rate of a transcript: edits over words of the reference.
#[must_use]
pub fn word_error_rate(reference: &str, found: &str) -> f64 {
    edit_rate(&words(reference), &words(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn known_distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("abc", "abc", 0),
            ("abc", "bcd", 2),
        ] {
            assert_eq!(edit_distance(&letters(left), &letters(right)), expected, "{left} {right}");
            assert_eq!(edit_distance(&letters(right), &letters(left)), expected, "{right} {left}");
        }
    }

    #[test]
    fn rates_are_over_the_reference() {
        assert!((edit_rate(&[1, 2, 3, 4], &[1, 2, 3]) - 0.25).abs() < 1e-12);
        assert!((edit_rate(&[], &[1]) - 1.0).abs() < 1e-12);
        assert_eq!(common_prefix(&[1, 2, 3], &[1, 2, 4, 5]), 2);
    }

    #[test]
    fn words_are_compared_without_case_and_punctuation() {
        assert_eq!(
            words("\"Don\u{2019}t stop,\" he said - well-known!"),
            ["don't", "stop", "he", "said", "well", "known"]
        );
        assert!(word_error_rate("Ask not, what.", "ask NOT what") < 1e-12);
        assert!((word_error_rate("one two three four", "one two tree") - 0.5).abs() < 1e-12);
    }
}
