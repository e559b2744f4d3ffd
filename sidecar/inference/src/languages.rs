//! The languages that Whisper knows: the codes of its language tokens and their English names.
//!
//! The list is the one of OpenAI's tokenizer, in the order of its token ids.

use isolang::Language as Language639;

/// A language as Whisper writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// The code in its token, `de` of `<|de|>`: ISO 639-1 where there is one.
    pub code: &'static str,
    /// Its English name in lower case, as OpenAI's `verbose_json` gives it.
    pub name: &'static str,
}

/// The language of a code as Whisper writes it; `None` where Whisper has no such language.
#[must_use]
pub fn by_code(code: &str) -> Option<Language> {
    LANGUAGES.iter().find(|(known, _)| *known == code).map(|&(code, name)| Language { code, name })
}

/// Reads a code (`de`), an English name (`German`) or another name for one (`Castilian`), in any case.
#[must_use]
pub fn parse(text: &str) -> Option<Language> {
    let lower = text.trim().to_lowercase();
    let canonical =
        OTHER_NAMES.iter().find(|(name, _)| *name == lower).map_or(lower.as_str(), |&(_, code)| code);
    LANGUAGES
        .iter()
        .find(|(code, name)| *code == canonical || *name == canonical)
        .map(|&(code, name)| Language { code, name })
}

/// The English name of the language of any common code (`de`, `deu_Latn`, `zh-Hant`), with the script where the code
/// names one; `None` where there is no such language.
#[must_use]
pub fn english_name(code: &str) -> Option<String> {
    let mut parts = code.split(['-', '_']).filter(|part| !part.is_empty());
    let language = parts.next()?.to_lowercase();
    let script = parts.find(|part| part.len() == 4);
    let iso = || Language639::from_639_1(&language).or_else(|| Language639::from_639_3(&language));
    let name = match by_code(&language) {
        Some(known) => known.name.to_owned(),
        None => iso()?.to_name().to_owned(),
    };
    let mut letters = name.chars();
    let capitalised: String =
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    Some(match script {
        Some(script) => format!("{capitalised} ({script})"),
        None => capitalised,
    })
}

/// Every language, in the order of the token ids.
pub fn all() -> impl Iterator<Item = Language> {
    LANGUAGES.iter().map(|&(code, name)| Language { code, name })
}

const LANGUAGES: [(&str, &str); 100] = [
    ("en", "english"),
    ("zh", "chinese"),
    ("de", "german"),
    ("es", "spanish"),
    ("ru", "russian"),
    ("ko", "korean"),
    ("fr", "french"),
    ("ja", "japanese"),
    ("pt", "portuguese"),
    ("tr", "turkish"),
    ("pl", "polish"),
    ("ca", "catalan"),
    ("nl", "dutch"),
    ("ar", "arabic"),
    ("sv", "swedish"),
    ("it", "italian"),
    ("id", "indonesian"),
    ("hi", "hindi"),
    ("fi", "finnish"),
    ("vi", "vietnamese"),
    ("he", "hebrew"),
    ("uk", "ukrainian"),
    ("el", "greek"),
    ("ms", "malay"),
    ("cs", "czech"),
    ("ro", "romanian"),
    ("da", "danish"),
    ("hu", "hungarian"),
    ("ta", "tamil"),
    ("no", "norwegian"),
    ("th", "thai"),
    ("ur", "urdu"),
    ("hr", "croatian"),
    ("bg", "bulgarian"),
    ("lt", "lithuanian"),
    ("la", "latin"),
    ("mi", "maori"),
    ("ml", "malayalam"),
    ("cy", "welsh"),
    ("sk", "slovak"),
    ("te", "telugu"),
    ("fa", "persian"),
    ("lv", "latvian"),
    ("bn", "bengali"),
    ("sr", "serbian"),
    ("az", "azerbaijani"),
    ("sl", "slovenian"),
    ("kn", "kannada"),
    ("et", "estonian"),
    ("mk", "macedonian"),
    ("br", "breton"),
    ("eu", "basque"),
    ("is", "icelandic"),
    ("hy", "armenian"),
    ("ne", "nepali"),
    ("mn", "mongolian"),
    ("bs", "bosnian"),
    ("kk", "kazakh"),
    ("sq", "albanian"),
    ("sw", "swahili"),
    ("gl", "galician"),
    ("mr", "marathi"),
    ("pa", "punjabi"),
    ("si", "sinhala"),
    ("km", "khmer"),
    ("sn", "shona"),
    ("yo", "yoruba"),
    ("so", "somali"),
    ("af", "afrikaans"),
    ("oc", "occitan"),
    ("ka", "georgian"),
    ("be", "belarusian"),
    ("tg", "tajik"),
    ("sd", "sindhi"),
    ("gu", "gujarati"),
    ("am", "amharic"),
    ("yi", "yiddish"),
    ("lo", "lao"),
    ("uz", "uzbek"),
    ("fo", "faroese"),
    ("ht", "haitian creole"),
    ("ps", "pashto"),
    ("tk", "turkmen"),
    ("nn", "nynorsk"),
    ("mt", "maltese"),
    ("sa", "sanskrit"),
    ("lb", "luxembourgish"),
    ("my", "myanmar"),
    ("bo", "tibetan"),
    ("tl", "tagalog"),
    ("mg", "malagasy"),
    ("as", "assamese"),
    ("tt", "tatar"),
    ("haw", "hawaiian"),
    ("ln", "lingala"),
    ("ha", "hausa"),
    ("ba", "bashkir"),
    ("jw", "javanese"),
    ("su", "sundanese"),
    ("yue", "cantonese"),
];

const OTHER_NAMES: [(&str, &str); 12] = [
    ("burmese", "my"),
    ("valencian", "ca"),
    ("flemish", "nl"),
    ("haitian", "ht"),
    ("letzeburgesch", "lb"),
    ("pushto", "ps"),
    ("panjabi", "pa"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("sinhalese", "si"),
    ("castilian", "es"),
    ("mandarin", "zh"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_read_in_any_case() {
        for text in ["de", "DE", " German ", "german"] {
            assert_eq!(parse(text), Some(Language { code: "de", name: "german" }), "{text}");
        }
        assert_eq!(parse("Castilian").map(|language| language.code), Some("es"));
        assert_eq!(parse("yue").map(|language| language.name), Some("cantonese"));
        assert_eq!(parse("klingon"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn languages_beyond_whisper_s_have_names_too() {
        let cases = [
            ("de", Some("German")),
            ("zh-Hant", Some("Chinese (Hant)")),
            ("arz", Some("Egyptian Arabic")),
            ("eng_Latn", Some("English (Latn)")),
            ("xh", Some("Xhosa")),
            ("qqq", None),
            ("", None),
        ];
        for (code, expected) in cases {
            assert_eq!(english_name(code).as_deref(), expected, "{code}");
        }
    }

    #[test]
    fn each_code_and_each_name_stands_once() {
        for language in all() {
            assert_eq!(by_code(language.code), Some(language));
            assert_eq!(
                all().filter(|other| other.code == language.code || other.name == language.name).count(),
                1
            );
        }
    }
}
