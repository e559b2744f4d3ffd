//! What the driver asks of a contender's process, and what it answers: one line of JSON each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A question, on the contender's standard input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Load a model; one that is loaded already is dropped before the clock starts.
    Load {
        /// The folder of the model, as this contender needs it.
        folder: PathBuf,
        /// The number format to compute in: `int8`, `bfloat16` or `float32`.
        dtype: String,
        /// Threads that work on one piece of work.
        threads: usize,
        /// Pieces of work that may be worked on at once.
        workers: usize,
        /// The instructions to keep to, by Ostler's name for them. Peers are told by their environment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instructions: Option<String>,
        /// Where Ostler keeps packed weights, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        packed: Option<PathBuf>,
    },
    /// Write what is said in a window of at most 30 s: English, greedy, without timestamps, exactly so many tokens.
    Window {
        /// Mono samples at 16 kHz, little-endian float32, without a header.
        samples: PathBuf,
        /// How many tokens of text to write.
        tokens: usize,
    },
    /// Write what is said in a recording, cut into windows of 30 s that are worked on in batches: English, greedy,
    /// without timestamps, no voice detection.
    Recording {
        /// As in [`Request::Window`].
        samples: PathBuf,
        /// Windows in one batch.
        batch: usize,
    },
    /// Translate texts, each into exactly so many tokens.
    Translate {
        /// The texts.
        texts: Vec<String>,
        /// How many tokens each becomes.
        tokens: usize,
        /// Beams to search with; 1 is greedy.
        beams: usize,
        /// Texts in one batch.
        batch: usize,
    },
}

/// An answer, on the contender's standard output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// How long the work took, from PCM or text to text.
    pub seconds: f64,
    /// Who answers: name, version and what it computes in.
    pub engine: String,
    /// The texts that came out.
    pub texts: Vec<String>,
    /// Their tokens, where there are any to see.
    pub tokens: Vec<Vec<u32>>,
    /// Why there is no answer.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_scripts_read_and_write_them() {
        let request = Request::Window { samples: "/a.f32".into(), tokens: 64 };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, r#"{"request":"window","samples":"/a.f32","tokens":64}"#);
        let reply: Reply = serde_json::from_str(r#"{"seconds": 0.5, "texts": ["a"]}"#).unwrap();
        assert_eq!((reply.seconds, reply.texts.len(), reply.error), (0.5, 1, None));
    }
}
