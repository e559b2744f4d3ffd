//! How far two texts are apart, in the units that error rates are counted in.

/// What a text is counted in: its letters where its language writes no spaces, else its words, in lower case and
/// without punctuation.
pub(crate) fn units(text: &str, language: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace('\u{2019}', "'");
    let kept: String =
        plain.chars().map(|one| if one.is_alphanumeric() || one == '\'' { one } else { ' ' }).collect();
    let words = kept.split_whitespace().map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty());
    match language {
        "zh" | "ja" => words.flat_map(str::chars).map(String::from).collect(),
        _ => words.map(str::to_owned).collect(),
    }
}

/// The fewest insertions, deletions and replacements that make one sequence the other (Levenshtein).
pub(crate) fn distance(left: &[String], right: &[String]) -> usize {
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

#[test]
fn distances_are_counted_in_words_or_letters() {
    let between = |left, right, language| distance(&units(left, language), &units(right, language));
    assert_eq!(between("\"Don\u{2019}t stop,\" he said.", "don't stop he SAID", "en"), 0);
    assert_eq!(between("one two three", "one tree", "en"), 2);
    assert_eq!(between("電球が、", "電球", "ja"), 1);
    assert_eq!(between("", "a b", "en"), 2);
}
