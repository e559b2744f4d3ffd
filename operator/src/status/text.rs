//! Text that may come from elsewhere, made fit for a status.

/// The longest message of a condition, in characters.
const MAX_MESSAGE: usize = 1024;

/// Escapes control characters and cuts what is too long.
pub(super) fn tidy(text: &str) -> String {
    let escape = |symbol: char| -> String {
        if symbol.is_control() { symbol.escape_default().collect() } else { symbol.to_string() }
    };
    let escaped: String = text.trim().chars().map(escape).collect();
    if escaped.chars().count() <= MAX_MESSAGE {
        return escaped;
    }
    let mut cut: String = escaped.chars().take(MAX_MESSAGE - 1).collect();
    cut.push('…');
    cut
}

/// The first three of a list, and how many more there are.
pub(super) fn first_three(entries: &[String]) -> String {
    let first = entries.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    match entries.len().saturating_sub(3) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}
