//! The texts of an HTML document, and the document again with others in their place: every tag, comment and attribute
//! stays as it was written.
//!
//! Text that belongs together, whatever inline tags are in it, is one text: "The <b>red</b> fox" is translated as a
//! sentence. Where its tags belong in the translation is found by translating what they enclose alone too and looking
//! for it there. Where it is not found, each stretch between tags gets the translation of itself alone.

mod events;
mod placement;
mod segments;

use segments::Segment;

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// The parser gave up.
    #[error("the HTML cannot be parsed: {0}")]
    Parse(#[from] lol_html::errors::RewritingError),
}

/// A document and the texts in it.
pub struct HtmlDocument {
    source: String,
    segments: Vec<Segment>,
}

impl HtmlDocument {
    /// Finds the texts of a document or of a part of one.
    ///
    /// # Errors
    /// [`HtmlError`] where it is beyond what the parser takes; markup that is merely wrong is read as browsers do.
    pub fn parse(source: &str) -> Result<Self, HtmlError> {
        let segments = segments::segments(source, &events::events(source)?);
        Ok(Self { source: source.to_owned(), segments })
    }

    /// What is to be translated, in order: entities are characters, and white space is collapsed where HTML collapses
    /// it.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.segments.iter().flat_map(Segment::texts).collect()
    }

    /// What readers see of it, a line for each text.
    #[must_use]
    pub fn prose(&self) -> String {
        self.segments.iter().map(Segment::whole).collect::<Vec<_>>().join("\n")
    }

    /// The document with `translations`, one for each of [`HtmlDocument::texts`], in their place. A text that there is
    /// no translation of stays.
    #[must_use]
    pub fn assemble(&self, translations: &[String]) -> String {
        let mut html = String::with_capacity(self.source.len());
        let mut rest = translations;
        let mut done = 0;
        for segment in &self.segments {
            let range = segment.range();
            let Some((own, others)) = rest.split_at_checked(segment.text_count()) else { break };
            rest = others;
            html.push_str(&self.source[done..range.start]);
            html.push_str(&placement::placed(&self.source, segment, own));
            done = range.end;
        }
        html.push_str(&self.source[done..]);
        html
    }
}

#[cfg(test)]
mod tests;
