//! Tokenizers from the files of a repository: `tokenizer.json` and sentencepiece models.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokenizers::Tokenizer;

use crate::error::LoadError;
use crate::files;
use crate::processor::Processor;
use crate::sentencepiece::SentencePieces;

/// The longest text that a sentencepiece model is asked to cut up, in bytes: its time grows faster than the
/// text where the model merges pairs.
pub const MAX_PIECE_TEXT_BYTES: usize = 16 << 10;

/// How long a parser may take. The largest published tokenizers need about two seconds.
const PARSE_DEADLINE: Duration = Duration::from_secs(30);

/// Reads `tokenizer.json` of a model's folder, without truncation and padding: callers do both.
///
/// # Errors
/// Where it is missing, too large, or no tokenizer.
pub fn read_tokenizer(folder: &Path) -> Result<Tokenizer, LoadError> {
    TokenizerInWork::begin(folder, None)?.wait()
}

/// As [`read_tokenizer`], while the caller does something else. The parser is one of the jobs that share the threads of
/// `processor`, so that it is not the last to be done.
///
/// # Errors
/// Where it is missing or too large.
pub fn begin_tokenizer(folder: &Path, processor: &Arc<Processor>) -> Result<TokenizerInWork, LoadError> {
    TokenizerInWork::begin(folder, Some(Arc::clone(processor)))
}

/// A `tokenizer.json` that is being parsed.
pub struct TokenizerInWork(Parsing<Tokenizer>);

impl TokenizerInWork {
    fn begin(folder: &Path, processor: Option<Arc<Processor>>) -> Result<Self, LoadError> {
        let bytes = files::read_capped(folder, files::TOKENIZER)?;
        let parse = move || {
            let _lanes = processor.as_ref().map(|processor| processor.team().enter());
            let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| error.to_string())?;
            tokenizer.with_padding(None);
            tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
            Ok(tokenizer)
        };
        let begun = Parsing::begin(parse);
        begun.map(TokenizerInWork).map_err(|message| LoadError::corrupted(files::TOKENIZER, message))
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// Where it is none.
    pub fn wait(self) -> Result<Tokenizer, LoadError> {
        self.0.wait().map_err(|message| LoadError::corrupted(files::TOKENIZER, message))
    }
}

/// Reads a sentencepiece model of a model's folder.
///
/// # Errors
/// Where it is missing, too large, or no sentencepiece model.
pub fn read_sentencepiece(folder: &Path, name: &str) -> Result<SentencePieces, LoadError> {
    let bytes = files::read_capped(folder, name)?;
    parsed(move || SentencePieces::parse(&bytes)).map_err(|message| LoadError::corrupted(name, message))
}

/// Runs a parser of a library and waits for it.
fn parsed<T: Send + 'static>(
    parse: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    Parsing::begin(parse)?.wait()
}

/// A parser of a library on a thread of its own. A file from anywhere may hit an assertion in it, or keep
/// it busy for ever: that is the file's fault, and must not end the caller or hold it up.
struct Parsing<T> {
    outcome: Receiver<Result<T, String>>,
    deadline: Instant,
}

impl<T: Send + 'static> Parsing<T> {
    fn begin(parse: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<Self, String> {
        let (sender, outcome) = mpsc::sync_channel(1);
        // The receiver is gone only after the deadline: nobody waits for the outcome then.
        let work = move || drop(sender.send(parse()));
        let thread = std::thread::Builder::new().name("parse-tokenizer".to_owned()).spawn(work);
        thread.map_err(|error| format!("no thread can be started to parse it: {error}"))?;
        Ok(Self { outcome, deadline: Instant::now() + PARSE_DEADLINE })
    }

    fn wait(self) -> Result<T, String> {
        match self.outcome.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Disconnected) => Err("the parser gave up on it".to_owned()),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("it was not parsed within {} s", PARSE_DEADLINE.as_secs()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_panics_is_an_error() {
        let outcome: Result<(), String> = parsed(|| panic!("an assertion of a library"));
        assert!(outcome.is_err_and(|message| message.contains("gave up")));
    }
}
