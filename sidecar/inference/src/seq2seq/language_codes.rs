//! The many ways to write one language: `de`, `deu`, `de-AT`, `de_DE`, `deu_Latn`.

use isolang::Language;

/// Languages whose code in three letters has none in two, though people write the two letters of the language that
/// they are the standard or most spoken form of (ISO 639-3's macrolanguages, with what NLLB and M2M100 chose).
const STANDARD_FORMS: [(&str, &str); 25] = [
    ("als", "sq"),
    ("arb", "ar"),
    ("ayr", "ay"),
    ("azj", "az"),
    ("cmn", "zh"),
    ("ekk", "et"),
    ("gaz", "om"),
    ("jw", "jv"),
    ("khk", "mn"),
    ("kmr", "ku"),
    ("knc", "kr"),
    ("lvs", "lv"),
    ("mo", "ro"),
    ("nb", "no"),
    ("npi", "ne"),
    ("ory", "or"),
    ("pbt", "ps"),
    ("pes", "fa"),
    ("plt", "mg"),
    ("quy", "qu"),
    ("swh", "sw"),
    ("uzn", "uz"),
    ("ydd", "yi"),
    ("zsm", "ms"),
    ("iw", "he"),
];

/// The script of a language that is written in several, where none is named.
const USUAL_SCRIPTS: [(&str, &str); 8] = [
    ("ar", "arab"),
    ("kr", "latn"),
    ("ks", "arab"),
    ("sr", "cyrl"),
    ("uz", "latn"),
    ("az", "latn"),
    ("bs", "latn"),
    ("zh", "hans"),
];

/// A code in its parts, all lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Code {
    /// In two letters where there are such, else in three, else as it was.
    language: String,
    /// Four letters: `latn`.
    script: Option<String>,
    /// What else follows: `at`.
    region: Option<String>,
}

fn parse(code: &str) -> Code {
    let mut parts = code.trim().split(['-', '_']).filter(|part| !part.is_empty()).map(str::to_lowercase);
    let first = parts.next().unwrap_or_default();
    let mut parsed = Code { language: canonical(&first), script: None, region: None };
    for part in parts {
        match part.len() {
            4 => parsed.script = Some(part),
            _ => parsed.region = Some(part),
        }
    }
    if parsed.language == "zh" && parsed.script.is_none() {
        let is_traditional = matches!(parsed.region.as_deref(), Some("tw" | "hk" | "mo" | "hant"));
        parsed.script = is_traditional.then(|| "hant".to_owned());
    }
    parsed
}

fn canonical(language: &str) -> String {
    let shortest = Language::from_639_3(language).and_then(|known| known.to_639_1()).unwrap_or(language);
    let form = STANDARD_FORMS.iter().find(|(form, _)| *form == shortest);
    form.map_or(shortest, |(_, short)| short).to_owned()
}

/// The place of the code that means what `asked` means: the same letters, else the same language with the nearest
/// script and region.
pub(super) fn best_match<'a>(asked: &str, codes: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
    let plain = |code: &str| code.replace('-', "_").to_lowercase();
    let literal = plain(asked);
    if let Some(place) = codes.clone().position(|code| plain(code) == literal) {
        return Some(place);
    }
    let asked = parse(asked);
    let usual = USUAL_SCRIPTS.iter().find(|(language, _)| *language == asked.language);
    let script = asked.script.as_deref().or(usual.map(|(_, script)| *script));
    codes
        .map(parse)
        .enumerate()
        .filter(|(_, code)| code.language == asked.language)
        // A named script must be the one: transliterating is not what was asked for.
        .filter(|(_, code)| asked.script.is_none() || code.script.is_none() || code.script == asked.script)
        .min_by_key(|(place, code)| {
            (
                code.script.as_deref() != script,
                code.region != asked.region && code.region.is_some(),
                code.region != asked.region,
                *place,
            )
        })
        .map(|(place, _)| place)
}

/// For each code the shortest form that [`best_match`] finds it by: the language alone, with its script, or itself.
pub(super) fn shortest<'a>(codes: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let form = |(place, code): (usize, &str)| {
        let Code { language, script, .. } = parse(code);
        let with_script = script.map(|script| format!("{language}-{script}"));
        let forms = std::iter::once(language).chain(with_script);
        let found = forms.into_iter().find(|form| best_match(form, codes.clone()) == Some(place));
        found.unwrap_or_else(|| code.to_owned())
    };
    codes.clone().enumerate().map(form).collect()
}

/// Whether two codes can mean the same language: `de` and `de-AT` do, `deu` and `de` too, and so may a code for a
/// group of languages (`ROMANCE`, `mul`) and any other.
pub(super) fn may_be_same(asked: &str, own: &str) -> bool {
    let (asked, own) = (parse(asked), parse(own));
    let is_group = |code: &Code| code.language.len() != 2;
    asked.language == own.language || is_group(&asked) || is_group(&own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_code_finds_the_model_s_own() {
        let cases: [(&str, &[&str], Option<&str>); 24] = [
            ("de", &["cs_CZ", "de_DE"], Some("de_DE")),
            ("deu", &["cs_CZ", "de_DE"], Some("de_DE")),
            ("de-AT", &["deu_Latn", "eng_Latn"], Some("deu_Latn")),
            ("DE", &["de", "en"], Some("de")),
            ("deu_Latn", &["de", "en"], Some("de")),
            ("zh", &["zho_Hant", "zho_Hans"], Some("zho_Hans")),
            ("zh-TW", &["zho_Hans", "zho_Hant"], Some("zho_Hant")),
            ("zh_Hant", &["zho_Hans", "zho_Hant"], Some("zho_Hant")),
            ("zh", &["cmn", "cmn_Hans"], Some("cmn_Hans")),
            ("zh", &["zh_CN"], Some("zh_CN")),
            ("ar", &["acm_Arab", "arb_Arab", "arz_Arab"], Some("arb_Arab")),
            ("no", &["nno_Latn", "nob_Latn"], Some("nob_Latn")),
            ("nn", &["nno_Latn", "nob_Latn"], Some("nno_Latn")),
            ("nb", &["no"], Some("no")),
            ("sr", &["srp_Latn", "srp_Cyrl"], Some("srp_Cyrl")),
            ("sr-Latn", &["srp_Latn", "srp_Cyrl"], Some("srp_Latn")),
            ("pt-BR", &["pt", "pt_br"], Some("pt_br")),
            ("pt-PT", &["pt_br", "pt"], Some("pt")),
            ("pt", &["pt_XX"], Some("pt_XX")),
            ("fa", &["prs_Arab", "pes_Arab"], Some("pes_Arab")),
            ("he", &["he_IL"], Some("he_IL")),
            ("tlh", &["de_DE", "en_XX"], None),
            ("sr-Latn", &["srp_Cyrl"], None),
            ("", &["de"], None),
        ];
        for (asked, codes, expected) in cases {
            let found = best_match(asked, codes.iter().copied()).map(|place| codes[place]);
            assert_eq!(found, expected, "{asked} among {codes:?}");
        }
    }

    #[test]
    fn the_shortest_form_of_a_code_leads_back_to_it() {
        let codes =
            ["deu_Latn", "zho_Hant", "zho_Hans", "arb_Arab", "arz_Arab", "srp_Cyrl", "ace_Arab", "ace_Latn"];
        let expected = ["de", "zh-hant", "zh", "ar", "arz", "sr", "ace", "ace-latn"];
        assert_eq!(shortest(codes.into_iter()), expected);
        assert_eq!(shortest(["pt", "pt_br"].into_iter()), ["pt", "pt_br"]);
    }

    #[test]
    fn languages_are_compared_as_far_as_their_codes_allow() {
        let cases = [
            ("de", "de", true),
            ("de-AT", "de", true),
            ("en", "de", false),
            ("fr", "ROMANCE", true),
            ("deu", "de", true),
            ("eng", "de", false),
            ("DE", "de", true),
        ];
        for (asked, own, expected) in cases {
            assert_eq!(may_be_same(asked, own), expected, "{asked} {own}");
        }
    }
}
