//! Sentence boundaries as Unicode defines them (UAX #29), but not after abbreviations.

use unicode_segmentation::UnicodeSegmentation;

/// A stretch of a text. All parts of a text, one after the other, are the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// White space between sentences, and around them.
    Space(&'a str),
    /// A sentence without white space around it.
    Sentence(&'a str),
}

/// Words after which a full stop rarely ends a sentence, in lower case, without the stop.
const ABBREVIATIONS: &[&str] = &[
    // English
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "jr", "sr", "gen", "col", "lt", "sgt", "capt", "rev", "hon",
    "gov", "sen", "rep", "inc", "ltd", "corp", "vol", "fig", "figs", "approx", "e.g", "i.e", "cf", "dept",
    "est", "ave", "al", // German
    "hr", "fr", "nr", "abb", "bzw", "ca", "z.b", "d.h", "u.a", "o.ä", "s", "str", "tel", "vgl", "geb",
    "gest", "evtl", "ggf", "inkl", "zzgl", "hrsg", "jh", "bd", "dipl",
    "ing", // French, Spanish, Italian, Portuguese
    "m", "mm", "mme", "mlle", "mgr", "p.ex", "sra", "srta", "sig", "sigg", "dott", "ing", "pág", "av", "núm",
];

/// The German and Scandinavian months, before which "3." is a day.
const MONTHS: &[&str] = &[
    "januar",
    "februar",
    "märz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
    "jänner",
    "januari",
    "februari",
    "mars",
    "marts",
    "maj",
    "oktober",
    "desember",
    "december",
];

/// Cuts a text into sentences and the white space around them.
#[must_use]
pub fn split_sentences(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, sentence) in text.split_sentence_bound_indices() {
        let end = at + sentence.len();
        if end < text.len() && is_joined(&text[start..end], &text[end..]) {
            continue;
        }
        push_trimmed(&text[start..end], &mut parts);
        start = end;
    }
    parts
}

/// Whether what Unicode ends here goes on.
fn is_joined(sentence: &str, next: &str) -> bool {
    let trimmed = sentence.trim_end();
    if sentence[trimmed.len()..].contains(['\n', '\r', '\u{2028}', '\u{2029}']) {
        return false;
    }
    let Some(before) = trimmed.strip_suffix('.') else { return false };
    let is_opening = |character: char| "([{\"'„“«»‘’".contains(character);
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default().trim_start_matches(is_opening);
    let mut characters = word.chars();
    let is_initial =
        matches!((characters.next(), characters.next()), (Some(one), None) if one.is_uppercase());
    let lower = word.to_lowercase();
    let is_day = (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit()) && {
        let following = next.split(|character: char| !character.is_alphabetic()).next().unwrap_or_default();
        MONTHS.contains(&following.to_lowercase().as_str())
    };
    // "I." ends more sentences than it begins names.
    (is_initial && word != "I") || is_day || ABBREVIATIONS.contains(&lower.as_str())
}

fn push_trimmed<'a>(text: &'a str, parts: &mut Vec<Part<'a>>) {
    let without_start = text.trim_start();
    let sentence = without_start.trim_end();
    let before = &text[..text.len() - without_start.len()];
    let after = &without_start[sentence.len()..];
    let pieces = [Part::Space(before), Part::Sentence(sentence), Part::Space(after)];
    parts.extend(pieces.into_iter().filter(|part| !matches!(part, Part::Space("") | Part::Sentence(""))));
}

/// Cuts a sentence that does not fit into parts that do: at the clause end, else the space, else the character
/// nearest to the middle. `fits` must hold for a single character, or that character stays as it is.
///
/// # Errors
/// What `fits` fails with.
pub fn split_long<'a, E>(
    sentence: &'a str,
    fits: &mut dyn FnMut(&str) -> Result<bool, E>,
) -> Result<Vec<Part<'a>>, E> {
    let mut parts = Vec::new();
    let mut waiting = vec![sentence];
    while let Some(text) = waiting.pop() {
        let trimmed = text.trim();
        let single = trimmed.chars().nth(1).is_none();
        if single || fits(trimmed)? {
            push_trimmed(text, &mut parts);
            continue;
        }
        let (left, right) = text.split_at(middle(text));
        waiting.extend([right, left]);
    }
    Ok(parts)
}

/// Where to cut a text of at least two characters: never at its ends.
fn middle(text: &str) -> usize {
    let centre = text.len() / 2;
    let nearest = |places: &mut dyn Iterator<Item = usize>| {
        places.filter(|place| (1..text.len()).contains(place)).min_by_key(|place| place.abs_diff(centre))
    };
    let is_clause_end = |character: char| ",;:，、；：،؛—–".contains(character);
    // A clause end far from the middle would leave a part that is nearly as long.
    let is_central = |place: &usize| (text.len() / 5..=text.len() - text.len() / 5).contains(place);
    let mut clauses = text
        .match_indices(is_clause_end)
        .map(|(at, mark)| at + mark.len())
        .filter(|place| is_central(place) && !text[*place..].starts_with(|next: char| next.is_ascii_digit()));
    let inner_start = text.len() - text.trim_start().len();
    let inner_end = text.trim_end().len();
    let mut spaces = text
        .match_indices(char::is_whitespace)
        .map(|(at, _)| at)
        .filter(|place| (inner_start..inner_end).contains(place));
    nearest(&mut clauses)
        .or_else(|| nearest(&mut spaces))
        .or_else(|| nearest(&mut text.char_indices().map(|(at, _)| at)))
        .unwrap_or(centre)
}

#[cfg(test)]
mod tests;
