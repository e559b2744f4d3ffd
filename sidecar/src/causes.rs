//! An error with its causes in one line, for messages and reports.

use std::error::Error;

/// The texts of an error and of its causes, joined by colons. A cause that the text before it already quotes is left
/// out.
#[must_use]
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        cause = error.source();
    }
    text
}
