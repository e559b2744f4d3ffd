//! A row of the table.

use crate::contender::Contender;
use crate::floor::Stage;
use crate::shapes::{self, Precision, SENTENCE_TOKENS, WINDOW_TOKENS};

/// What a row's contenders do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A window of 30 s becomes 64 tokens.
    Window,
    /// Ten minutes in windows of 30 s.
    Recording,
    /// Texts become 25 tokens each.
    Translate {
        /// How many texts.
        texts: usize,
        /// Beams to search with.
        beams: usize,
    },
    /// Loading, the file in the page cache.
    Load,
    /// The anonymous memory of loading and of one piece of work.
    Memory,
}

/// What Ostler must reach in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// So many times as fast, or as small, as the best peer.
    pub times: f64,
    /// Within so many times of the floor.
    pub floor: Option<f64>,
    /// Within so many seconds.
    pub seconds: Option<f64>,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What `--rows` looks for.
    pub id: String,
    /// What it says in the table.
    pub title: &'static str,
    /// Threads that everybody may use.
    pub threads: usize,
    /// What is done.
    pub task: Task,
    /// What Ostler computes in.
    pub precision: Precision,
    /// Everybody, in the order of their turns.
    pub contenders: Vec<Contender>,
    /// What must be reached; some rows are only shown.
    pub target: Option<Target>,
}

/// The targets are for so many threads.
pub(super) const TARGET_THREADS: usize = 2;
/// Sentences of one batch.
pub(super) const BATCH: usize = 16;

impl Row {
    /// The work that the floor is computed of. `tokens` are how many each text of a recording became.
    #[must_use]
    pub fn stages(&self, tokens: &[usize]) -> Option<Vec<Stage>> {
        let sentence = SENTENCE_TOKENS;
        match self.task {
            Task::Window => Some(shapes::whisper(self.precision, &[(1, WINDOW_TOKENS)])),
            Task::Recording => {
                // One batch of all windows reads the weights the fewest times.
                let steps = tokens.iter().copied().max()?;
                Some(shapes::whisper(self.precision, &[(tokens.len(), steps)]))
            }
            Task::Translate { texts, beams } => {
                let batch = texts.min(BATCH);
                let batches = texts.div_ceil(batch.max(1));
                Some(shapes::opus_mt(self.precision, batches, batch, beams, sentence, sentence))
            }
            Task::Load | Task::Memory => None,
        }
    }

    /// The instructions that everybody is kept to.
    #[must_use]
    pub fn instructions(&self) -> Option<&'static str> {
        self.contenders.iter().find_map(|contender| contender.instructions)
    }
}
