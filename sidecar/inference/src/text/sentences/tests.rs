use proptest::prelude::*;

use super::*;

fn sentences(text: &str) -> Vec<&str> {
    split_sentences(text)
        .into_iter()
        .filter_map(|part| match part {
            Part::Sentence(sentence) => Some(sentence),
            Part::Space(_) => None,
        })
        .collect()
}

fn joined(parts: &[Part<'_>]) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Space(text) | Part::Sentence(text) => *text,
        })
        .collect()
}

#[test]
fn sentences_end_where_readers_end_them() {
    let cases: [(&str, &[&str]); 12] = [
        ("", &[]),
        ("  \n ", &[]),
        ("Hello", &["Hello"]),
        ("One. Two! Three?", &["One.", "Two!", "Three?"]),
        ("We met Dr. Smith. He left.", &["We met Dr. Smith.", "He left."]),
        ("J. K. Rowling wrote it. I read it.", &["J. K. Rowling wrote it.", "I read it."]),
        ("Am 3. Oktober ist Feiertag. Gut.", &["Am 3. Oktober ist Feiertag.", "Gut."]),
        ("It costs 3.50 euros. Fine.", &["It costs 3.50 euros.", "Fine."]),
        ("No stop\nNext line", &["No stop", "Next line"]),
        ("He said \"Go!\" Then he went.", &["He said \"Go!\"", "Then he went."]),
        ("我爱你。他走了。", &["我爱你。", "他走了。"]),
        ("Das ist z.B. Berlin. Schön.", &["Das ist z.B. Berlin.", "Schön."]),
    ];
    for (text, expected) in cases {
        assert_eq!(sentences(text), expected, "{text:?}");
    }
}

#[test]
fn a_long_sentence_is_cut_at_a_clause_then_at_a_space_then_anywhere() {
    let cut = |text: &'static str, longest: usize| -> Vec<Part<'static>> {
        split_long::<()>(text, &mut |part| Ok(part.chars().count() <= longest)).unwrap()
    };
    assert_eq!(
        cut("one two, three four", 12),
        [Part::Sentence("one two,"), Part::Space(" "), Part::Sentence("three four")]
    );
    assert_eq!(
        cut("one two three", 8),
        [Part::Sentence("one two"), Part::Space(" "), Part::Sentence("three")]
    );
    assert_eq!(cut("abcdef", 3), [Part::Sentence("abc"), Part::Sentence("def")]);
}

proptest! {
    #[test]
    fn nothing_of_a_text_is_lost(text in "\\PC{0,40}([ .,!?\\n]{1,3}\\PC{0,20}){0,4}", longest in 1usize..20) {
        let parts = split_sentences(&text);
        prop_assert_eq!(joined(&parts), text.as_str());
        for part in parts {
            if let Part::Sentence(sentence) = part {
                let mut fits = |part: &str| Ok::<_, ()>(part.chars().count() <= longest);
                let pieces = split_long(sentence, &mut fits).unwrap();
                prop_assert_eq!(joined(&pieces), sentence);
                for piece in pieces {
                    if let Part::Sentence(piece) = piece {
                        prop_assert!(!piece.is_empty() && piece.chars().count() <= longest);
                    }
                }
            }
        }
    }
}
