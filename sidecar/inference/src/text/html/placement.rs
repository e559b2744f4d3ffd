//! Where the tags of a text go in its translation.

use std::ops::Range;

use super::segments::{Run, Segment};

/// The most elements of a sentence that are looked for in its translation; a text with more is no sentence.
const MAX_GROUPS: usize = 32;
/// The longest translation in bytes that they are looked for in.
const MAX_WHOLE_BYTES: usize = 16 << 10;

/// The bytes of a segment with its texts' translations in their place: the whole's, then each stretch's.
pub(super) fn placed(source: &str, segment: &Segment, translations: &[String]) -> String {
    let Some((whole, alone)) = translations.split_first() else { return source[segment.range()].to_owned() };
    if let [run] = segment.runs.as_slice() {
        return replaced(source, &segment.range(), &[(run, whole.as_str())]);
    }
    let mut alone = alone.iter().map(String::as_str);
    let texts: Vec<(&Run, &str)> = segment
        .runs
        .iter()
        .map(|run| (run, if run.is_fixed { run.text.as_str() } else { alone.next().unwrap_or(&run.text) }))
        .collect();
    in_whole(source, segment, whole, &texts).unwrap_or_else(|| replaced(source, &segment.range(), &texts))
}

/// A range of the document with other texts in some of its stretches, white space around each kept.
fn replaced(source: &str, range: &Range<usize>, texts: &[(&Run, &str)]) -> String {
    let mut html = String::new();
    let mut done = range.start;
    for (run, text) in texts {
        let raw = &source[run.range.clone()];
        let start = run.range.start + raw.len() - raw.trim_ascii_start().len();
        let end = run.range.start + raw.trim_ascii_end().len();
        html.push_str(&source[done..start]);
        // A text that stays is not written anew: its entities stay too.
        match run.is_fixed {
            true => html.push_str(&source[start..end]),
            false => html.push_str(&htmlize::escape_text(text.trim())),
        }
        done = end;
    }
    html.push_str(&source[done..range.end]);
    html
}

/// The translation of the whole with every outermost element around what it encloses; `None` where one encloses
/// several stretches, or none, or what it encloses is not there, and where there is too much to look for.
fn in_whole(source: &str, segment: &Segment, whole: &str, texts: &[(&Run, &str)]) -> Option<String> {
    if segment.groups.len() > MAX_GROUPS || whole.len() > MAX_WHOLE_BYTES {
        return None;
    }
    let mut places: Vec<(Range<usize>, usize, (&Run, &str))> = Vec::new();
    for group in 0..segment.groups.len() {
        let mut inside = texts.iter().filter(|(run, _)| run.group == Some(group));
        let (Some(one), None) = (inside.next(), inside.next()) else { return None };
        // Where a tag cuts a word, no word of the translation is what it encloses.
        if cuts_word(segment.whole(), &(one.0.start..one.0.start + one.0.text.len())) {
            return None;
        }
        let taken: Vec<Range<usize>> = places.iter().map(|(range, ..)| range.clone()).collect();
        // Of several places the one that is as far along as the text was in the source.
        let expected = one.0.start * whole.len() / segment.whole().len().max(1);
        places.push((find(whole, one.1.trim(), expected, &taken)?, group, *one));
    }
    places.sort_by_key(|(range, ..)| range.start);
    let outside = segment.range();
    let first = &source[outside.clone()];
    // White space around the whole belongs to its first and last stretch.
    let leading = &first[..first.len() - first.trim_ascii_start().len()];
    let trailing = &first[first.trim_ascii_end().len()..];
    let mut html = leading.to_owned();
    let mut done = 0;
    for (range, group, (run, _)) in places {
        html.push_str(&htmlize::escape_text(&whole[done..range.start]));
        html.push_str(&replaced(source, &segment.groups[group], &[(run, &whole[range.clone()])]));
        done = range.end;
    }
    html.push_str(&htmlize::escape_text(&whole[done..]));
    html.push_str(trailing);
    Some(html)
}

/// The place of a text in another, at the bounds of words, in any case, that is not taken and nearest to `expected`.
fn find(whole: &str, text: &str, expected: usize, taken: &[Range<usize>]) -> Option<Range<usize>> {
    let lower = |character: char| character.to_lowercase().next().unwrap_or(character);
    let wanted: Vec<char> = text.chars().map(lower).collect();
    let characters: Vec<(usize, char)> = whole.char_indices().map(|(at, one)| (at, lower(one))).collect();
    let end_of = |place: usize| characters.get(place).map_or(whole.len(), |(at, _)| *at);
    if wanted.is_empty() {
        return None;
    }
    let places = (0..(characters.len() + 1).saturating_sub(wanted.len())).filter_map(|start| {
        let end = start + wanted.len();
        let is_same = characters[start..end].iter().map(|(_, one)| one).eq(&wanted);
        let range = end_of(start)..end_of(end);
        let is_free = taken.iter().all(|other| other.end <= range.start || range.end <= other.start);
        (is_same && is_free && !cuts_word(whole, &range)).then_some(range)
    });
    places.min_by_key(|range| range.start.abs_diff(expected))
}

/// Whether a range of a text begins or ends within a word.
fn cuts_word(text: &str, range: &Range<usize>) -> bool {
    let is_within = |place: usize| {
        let before = text[..place].chars().next_back().is_some_and(char::is_alphanumeric);
        before && text[place..].chars().next().is_some_and(char::is_alphanumeric)
    };
    is_within(range.start) || is_within(range.end)
}
