//! Foreign text inside messages: escaped and capped, so that it can neither forge a log line nor fill a status.

use std::fmt::Write as _;

/// The most characters of a foreign text that a message repeats.
const MAX_CHARACTERS: usize = 80;

/// The text in quotes, its control characters escaped, its end cut where it is long.
pub(super) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_CHARACTERS).collect();
    if short.len() < text.len() {
        let _ = write!(short, "...");
    }
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_length_is_capped() {
        assert_eq!(excerpt("plain"), "\"plain\"");
        assert_eq!(excerpt("a\r\nlevel=ERROR \u{1b}[0m"), "\"a\\r\\nlevel=ERROR \\u{1b}[0m\"");
        let long = excerpt(&"x".repeat(1_000_000));
        assert_eq!(long.chars().count(), MAX_CHARACTERS + 5);
    }
}
