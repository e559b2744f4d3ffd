//! The texts of a job, out of what they are written in, and back into it.

use crate::engine::{EngineError, TextFormat, TranslateJob};
use crate::text::html::HtmlDocument;

/// What texts came in.
pub(super) enum Documents {
    /// Themselves.
    Plain,
    /// HTML, each with its number of texts.
    Html(Vec<(HtmlDocument, usize)>),
}

impl Documents {
    /// Reads a job: its documents, and all of their texts one after the other.
    ///
    /// # Errors
    /// [`EngineError::InvalidInput`] where one cannot be read.
    pub(super) fn read(job: &TranslateJob) -> Result<(Self, Vec<String>), EngineError> {
        match job.format {
            TextFormat::Plain => Ok((Self::Plain, job.texts.clone())),
            TextFormat::Html => {
                let mut texts = Vec::new();
                let mut documents = Vec::with_capacity(job.texts.len());
                for html in &job.texts {
                    let document = HtmlDocument::parse(html).map_err(|error| EngineError::InvalidInput {
                        parameter: "texts",
                        message: error.to_string(),
                    })?;
                    let own = document.texts();
                    documents.push((document, own.len()));
                    texts.extend(own);
                }
                Ok((Self::Html(documents), texts))
            }
        }
    }

    /// The documents with these translations of their texts.
    pub(super) fn assemble(&self, translations: Vec<String>) -> Vec<String> {
        match self {
            Self::Plain => translations,
            Self::Html(documents) => {
                let mut rest = translations.as_slice();
                documents
                    .iter()
                    .map(|(document, count)| {
                        let (own, others) = rest.split_at((*count).min(rest.len()));
                        rest = others;
                        document.assemble(own)
                    })
                    .collect()
            }
        }
    }
}
