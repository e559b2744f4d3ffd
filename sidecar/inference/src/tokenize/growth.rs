//! How much longer a text may become by what a `tokenizer.json` does to it before and after its model.
//!
//! A few hundred bytes of rules can make a letter a terabyte: each of forty replacements doubles it. The library carries
//! out what is written, so that the rules are looked at before it does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::charsmap::longest_replacement;

/// How many times as long a text may become. Published tokenizers come to some hundred, of which real texts see little.
pub(super) const MAX_GROWTH: usize = 512;

/// The growth by Unicode's own forms, of U+FDFA, and by the printable characters for bytes.
const UNICODE_GROWTH: usize = 11;
const BYTE_LEVEL_GROWTH: usize = 2;

/// Refuses a tokenizer whose rules make texts too long.
pub(super) fn check(tokenizer: &Tokenizer) -> Result<(), String> {
    let json = |value: Result<Value, serde_json::Error>| value.map_err(|error| error.to_string());
    let normalizer = json(serde_json::to_value(tokenizer.get_normalizer()))?;
    let pre_tokenizer = json(serde_json::to_value(tokenizer.get_pre_tokenizer()))?;
    let decoder = json(serde_json::to_value(tokenizer.get_decoder()))?;
    let encoded = of_step(&normalizer)?.saturating_mul(of_step(&pre_tokenizer)?);
    let decoded = of_step(&decoder)?;
    for (what, growth) in [("normalizer and pre_tokenizer", encoded), ("decoder", decoded)] {
        if growth > MAX_GROWTH {
            return Err(format!(
                "its {what} can make texts {growth} times as long, at most {MAX_GROWTH} times is taken"
            ));
        }
    }
    Ok(())
}

/// Refuses a file with a table of characters that claims to be longer than it is: the library takes memory for as many
/// as the table claims, also where the file is wrong further on.
pub(super) fn check_tables(bytes: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Steps {
        #[serde(default)]
        normalizer: Value,
    }
    let Steps { normalizer } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    check_tables_of(&normalizer)
}

/// The same of a step and all steps in it, however the library may have them written.
fn check_tables_of(step: &Value) -> Result<(), String> {
    match step {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value.as_str() {
            Some(table) if name == "precompiled_charsmap" => of_table(table).map(drop),
            _ => check_tables_of(value),
        }),
        Value::Array(steps) => steps.iter().try_for_each(check_tables_of),
        _ => Ok(()),
    }
}

/// The longest that a table makes of a character.
fn of_table(table: &str) -> Result<usize, String> {
    let table = STANDARD.decode(table).map_err(|error| format!("its precompiled_charsmap: {error}"))?;
    longest_replacement(&table)
}

/// The most bytes that a step makes of one, and those that it adds to a text.
fn of_step(step: &Value) -> Result<usize, String> {
    let length = |field: &str| step[field].as_str().map_or(0, str::len);
    let growth = match step["type"].as_str() {
        Some("Sequence") => {
            let steps =
                ["normalizers", "pretokenizers", "decoders"].iter().filter_map(|name| step[name].as_array());
            return steps
                .flatten()
                .try_fold(1_usize, |growth, step| Ok(growth.saturating_mul(of_step(step)?)));
        }
        Some("Replace") => {
            let content = length("content");
            match step["pattern"]["String"].as_str().map(str::len) {
                // A pattern that may match nothing puts its content between any two letters.
                None | Some(0) => content + 1,
                Some(pattern) => content.div_ceil(pattern),
            }
        }
        Some("Prepend") => length("prepend") + 1,
        Some("Precompiled") => of_table(step["precompiled_charsmap"].as_str().unwrap_or_default())?,
        Some("Metaspace") => length("replacement"),
        Some("ByteLevel") => BYTE_LEVEL_GROWTH,
        Some("NFC" | "NFD" | "NFKC" | "NFKD" | "BertNormalizer" | "Lowercase" | "Nmt") => UNICODE_GROWTH,
        _ => 1,
    };
    Ok(growth.max(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replace(pattern: Value, content: &str) -> Value {
        json!({"type": "Replace", "pattern": pattern, "content": content})
    }

    #[test]
    fn each_step_grows_by_what_it_writes() {
        let table = STANDARD.encode([&4_u32.to_le_bytes()[..], &[0; 4], b"abcde\0x\0"].concat());
        for (step, expected) in [
            (Value::Null, 1),
            (json!({"type": "Strip", "strip_left": true, "strip_right": true}), 1),
            (replace(json!({"String": "ab"}), "abcd"), 2),
            (replace(json!({"String": "abcd"}), "x"), 1),
            (replace(json!({"String": ""}), "xx"), 3),
            (replace(json!({"Regex": " {2,}"}), "\u{2581}"), 4),
            (json!({"type": "Prepend", "prepend": "\u{2581}"}), 4),
            (json!({"type": "Precompiled", "precompiled_charsmap": table}), 5),
            (json!({"type": "Metaspace", "replacement": "\u{2581}"}), 3),
            (
                json!({"type": "Sequence", "normalizers": [replace(json!({"String": "a"}), "aa"), {"type": "NFKC"}]}),
                22,
            ),
            (json!({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "ByteLevel"}]}), 4),
        ] {
            assert_eq!(of_step(&step), Ok(expected), "{step}");
        }
        let twice = replace(json!({"String": "a"}), "aa");
        let laughs = json!({"type": "Sequence", "normalizers": vec![twice; 100]});
        assert_eq!(of_step(&laughs), Ok(usize::MAX));
        assert!(of_step(&json!({"type": "Precompiled", "precompiled_charsmap": "?"})).is_err());
    }

    #[test]
    fn a_table_that_claims_gigabytes_is_refused_before_it_is_read() {
        let file = |table: &[u8]| {
            let normalizer = json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(table)});
            json!({"normalizer": {"type": "Sequence", "normalizers": [normalizer]}, "model": {}}).to_string()
        };
        assert!(check_tables(file(&[0xff, 0xff, 0xff, 0x7f, 0, 0, 0]).as_bytes()).is_err());
        assert_eq!(
            check_tables(file(&[&4_u32.to_le_bytes()[..], &[0; 4], b"a\0"].concat()).as_bytes()),
            Ok(())
        );
        assert!(check_tables(b"no JSON").is_err());
    }
}
