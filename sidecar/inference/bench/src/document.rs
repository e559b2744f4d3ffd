//! The measured part of a document, between two marks, so that the text around it can be written by hand.

/// The line before the measured part.
pub const BEGIN: &str = "<!-- measured: begin -->";
/// The line after it.
pub const END: &str = "<!-- measured: end -->";

/// Why a document cannot take a report.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document has no line {BEGIN} followed by a line {END}; put both where the figures belong")]
pub struct NoMarks;

/// The document with `report` in place of what stood between the marks.
///
/// # Errors
/// [`NoMarks`].
pub fn replace(document: &str, report: &str) -> Result<String, NoMarks> {
    let (before, rest) = document.split_once(BEGIN).ok_or(NoMarks)?;
    let (_, after) = rest.split_once(END).ok_or(NoMarks)?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", report.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replace(&document, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(replace(&new, "new").unwrap(), new);
        assert_eq!(replace("a", "new"), Err(NoMarks));
    }
}
