//! What was measured, as a table.

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: String,
    /// What it is held against, and what became of that.
    pub(crate) beside: String,
}

/// What stands before the table in its page.
pub(crate) const PREFACE: &str = "\
# Serving under load

Written by `make bench-serving`: the real program over HTTP on loopback, clients on the same processors. Translation
models are random weights in the shape of MarianMT with 512 numbers a token and up to 24 tokens an answer, so that every
request is the same work.

";

/// The rows in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = "| what | measured | beside |\n|---|---|---|".to_owned();
    for Row { what, measured, beside } in rows {
        text += &format!("\n| {what} | {measured} | {beside} |");
    }
    text
}
