//! Tokenizers from the files of a repository: `tokenizer.json` and sentencepiece models.

mod growth;

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
    FileInWork::begin(folder, files::TOKENIZER, None, |bytes| parse_tokenizer(&bytes))?.wait()
}

/// A tokenizer from the bytes of `tokenizer.json`, without truncation and padding.
///
/// # Errors
/// Where they are none, or make texts far longer than they are.
pub fn parse_tokenizer(bytes: &[u8]) -> Result<Tokenizer, String> {
    growth::check_tables(bytes)?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
    growth::check(&tokenizer)?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

/// A file of a model that is being parsed while the caller does something else.
pub struct FileInWork<T> {
    name: &'static str,
    parsing: Parsing<T>,
}

impl<T: Send + 'static> FileInWork<T> {
    /// Reads a file and begins to parse it. The parser shares the threads of `processor` with the rest of the load, so
    /// that it is not the last to be done, and leaves them to jobs.
    ///
    /// # Errors
    /// Where the file is missing or too large.
    pub fn begin(
        folder: &Path,
        name: &'static str,
        processor: Option<&Arc<Processor>>,
        parse: impl FnOnce(Vec<u8>) -> Result<T, String> + Send + 'static,
    ) -> Result<Self, LoadError> {
        let bytes = files::read_capped(folder, name)?;
        let processor = processor.cloned();
        let parse = move || {
            let _lanes = processor.as_ref().map(|processor| processor.team().enter_behind());
            parse(bytes)
        };
        let parsing = Parsing::begin(parse).map_err(|message| LoadError::corrupted(name, message))?;
        Ok(Self { name, parsing })
    }

    /// What the file holds.
    ///
    /// # Errors
    /// Where the parser refuses it.
    pub fn wait(self) -> Result<T, LoadError> {
        self.parsing.wait().map_err(|message| LoadError::corrupted(self.name, message))
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
///
/// # Errors
/// What the parser says, or that it gave up or took too long.
pub fn parsed<T: Send + 'static>(
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
mod tests;
