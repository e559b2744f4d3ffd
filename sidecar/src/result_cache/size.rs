//! What an answer takes in memory. Pure.

use ostler_inference::engine::{Embeddings, LabelScore, Output, Segment, Transcript, Translation, Word};

/// What the bookkeeping of one answer takes: its places in the maps, and the provenance with its names.
const ENTRY_BYTES: usize = 640;

/// The bytes that keeping an answer takes: all that it has allocated, and the bookkeeping.
pub(super) fn kept_bytes(output: &Output) -> u64 {
    let heap = match output {
        Output::Transcript(transcript) => transcript_bytes(transcript),
        Output::Languages(labels) => list(labels, label_bytes),
        Output::Translations(translations) => list(translations, translation_bytes),
        Output::Labels(labels) => list(labels, |labels| list(labels, label_bytes)),
        Output::Embeddings(Embeddings { vectors, tokens }) => {
            list(vectors, |vector| list(vector, |_| 0)) + list(tokens, |_| 0)
        }
    };
    (ENTRY_BYTES + size_of::<Output>() + heap) as u64
}

/// What a list has allocated: its elements, and what each of them has allocated itself.
fn list<T>(elements: &Vec<T>, allocated: impl Fn(&T) -> usize) -> usize {
    elements.capacity() * size_of::<T>() + elements.iter().map(allocated).sum::<usize>()
}

fn transcript_bytes(transcript: &Transcript) -> usize {
    transcript.text.capacity() + transcript.language.capacity() + list(&transcript.segments, segment_bytes)
}

fn segment_bytes(segment: &Segment) -> usize {
    let words = |word: &Word| word.text.capacity();
    segment.text.capacity() + list(&segment.tokens, |_| 0) + list(&segment.words, words)
}

fn translation_bytes(translation: &Translation) -> usize {
    translation.text.capacity() + list(&translation.alternatives, String::capacity)
}

fn label_bytes(label: &LabelScore) -> usize {
    label.label.capacity()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_counts() {
        let text = |length: usize| Translation { text: "a".repeat(length), alternatives: Vec::new() };
        let of = |lengths: &[usize]| {
            let translations: Vec<Translation> = lengths.iter().map(|length| text(*length)).collect();
            kept_bytes(&Output::Translations(translations))
        };
        let each = size_of::<Translation>() as u64;
        assert_eq!(of(&[5000]) - of(&[0]), 5000);
        assert_eq!(of(&[10, 20]) - of(&[]), 30 + 2 * each);
        let embeddings =
            Output::Embeddings(Embeddings { vectors: vec![vec![0.0; 768]; 2], tokens: vec![3, 4] });
        let expected = 2 * (768 * 4 + size_of::<Vec<f32>>()) + 2 * size_of::<usize>();
        assert_eq!(kept_bytes(&embeddings) - of(&[]), expected as u64);
    }
}
