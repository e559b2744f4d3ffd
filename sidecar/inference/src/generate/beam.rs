//! Beam search over one text, as transformers 5 does it (`GenerationMixin._beam_search`), without a model:
//! scores in, the rows to continue out.
//!
//! The search keeps two lists of as many sequences as there are beams: running ones, and the best finished ones
//! by their sum of log probabilities over a power of their length. Texts of a batch do not touch each other, so
//! each has its own search and leaves the batch when it is done.

use ostler_kernels::Kernels;

/// How many scores are looked at together.
const BLOCK: usize = 128;

/// What transformers stands in for minus infinity, so that sums of it stay finite.
const IMPOSSIBLE: f32 = -1.0e9;

/// When a search with enough finished sequences stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlyStopping {
    /// As soon as there are as many finished sequences as beams.
    Always,
    /// When the best running sequence would lose at its present length.
    #[default]
    Heuristic,
    /// When no running sequence can win at any length.
    Never,
}

/// How to search.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamOptions {
    /// Sequences that are followed at once, at least 1.
    pub beams: usize,
    /// The tokens that end a sequence.
    pub end_tokens: Vec<u32>,
    /// The greatest length in tokens, prompt included.
    pub max_length: usize,
    /// The power of the length that sums of log probabilities are divided by; above 0 prefers longer texts.
    pub length_penalty: f32,
    /// When to stop.
    pub early_stopping: EarlyStopping,
}

/// A sequence that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Its tokens without the prompt; the last is an end token, unless the length ran out.
    pub tokens: Vec<u32>,
    /// The sum of its log probabilities over its length to the power of the length penalty. A greedy search
    /// has the sum alone.
    pub score: f32,
    /// The sum of its log probabilities.
    pub log_probability: f32,
}

/// What to do after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Row `i` continues what was row `parents[i]` with `tokens[i]`.
    Continue {
        /// For each beam, the row that it comes from.
        parents: Vec<usize>,
        /// For each beam, the token to feed.
        tokens: Vec<u32>,
    },
    /// The search is over.
    Done,
}

#[derive(Clone)]
struct Running {
    tokens: Vec<u32>,
    score: f32,
}

#[derive(Clone)]
struct Finished {
    tokens: Vec<u32>,
    score: f32,
    log_probability: f32,
    is_finished: bool,
}

/// A continuation of a running sequence.
#[derive(Clone, Copy)]
struct Candidate {
    parent: usize,
    token: u32,
    score: f32,
    ends: bool,
}

/// A search in progress.
pub struct BeamSearch {
    options: BeamOptions,
    prompt_length: usize,
    running: Vec<Running>,
    finished: Vec<Finished>,
    can_improve: bool,
}

impl BeamSearch {
    /// A search that continues `prompt`.
    #[must_use]
    pub fn new(options: BeamOptions, prompt: &[u32]) -> Self {
        // All rows are the same at first: only the first may be continued, or every beam would be the same.
        let running = (0..options.beams)
            .map(|beam| Running { tokens: prompt.to_vec(), score: if beam == 0 { 0.0 } else { IMPOSSIBLE } })
            .collect();
        let nothing = Finished {
            tokens: Vec::new(),
            score: IMPOSSIBLE,
            log_probability: IMPOSSIBLE,
            is_finished: false,
        };
        let finished = vec![nothing; options.beams];
        Self { options, prompt_length: prompt.len(), running, finished, can_improve: true }
    }

    /// The tokens of each running sequence, prompt included, in the order of the rows.
    pub fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.running.iter().map(|running| running.tokens.as_slice())
    }

    /// Takes the log probabilities of every row's next token, after the rules (rows x vocabulary), and chooses
    /// the sequences to continue.
    pub fn advance(&mut self, log_probabilities: &[f32]) -> Step {
        let length = self.running.first().map_or(0, |running| running.tokens.len()) + 1;
        let candidates = self.candidates(log_probabilities, length);
        self.merge_finished(&candidates, length);
        let continued = self.continued(&candidates);
        let Some(best) = continued.first().copied() else { return Step::Done };
        let all_end = candidates.iter().all(|candidate| candidate.ends);
        self.running = continued
            .iter()
            .map(|candidate| {
                let mut tokens = self.running[candidate.parent].tokens.clone();
                tokens.push(candidate.token);
                Running { tokens, score: candidate.score }
            })
            .collect();
        self.can_improve &= self.could_win(best.score, length);
        let is_full = self.finished.iter().all(|finished| finished.is_finished)
            && self.options.early_stopping == EarlyStopping::Always;
        if !self.can_improve || is_full || all_end {
            return Step::Done;
        }
        Step::Continue {
            parents: continued.iter().map(|candidate| candidate.parent).collect(),
            tokens: continued.iter().map(|candidate| candidate.token).collect(),
        }
    }

    /// The finished sequences, best first.
    #[must_use]
    pub fn finish(self) -> Vec<Hypothesis> {
        let prompt_length = self.prompt_length;
        self.finished
            .into_iter()
            .filter(|finished| finished.is_finished)
            .map(|finished| Hypothesis {
                tokens: finished.tokens[prompt_length..].to_vec(),
                score: finished.score,
                log_probability: finished.log_probability,
            })
            .collect()
    }

    /// The best continuations of all rows together: enough that as many as there are beams go on, even if each
    /// beam's best is an end.
    fn candidates(&self, log_probabilities: &[f32], length: usize) -> Vec<Candidate> {
        let beams = self.running.len();
        let vocabulary = log_probabilities.len() / beams.max(1);
        let keep = (1 + self.options.end_tokens.len()).max(2) * beams;
        let mut best = Best::new(keep);
        let kernels = Kernels::best();
        for (parent, row) in log_probabilities.chunks_exact(vocabulary.max(1)).enumerate() {
            let so_far = self.running[parent].score;
            for (block, numbers) in row.chunks(BLOCK).enumerate() {
                // Few blocks hold a candidate, and to find the greatest of one costs less than to look at each.
                if !best.takes(kernels.greatest(numbers) + so_far) {
                    continue;
                }
                for (place, log_probability) in numbers.iter().enumerate() {
                    best.offer(log_probability + so_far, parent, (block * BLOCK + place) as u32);
                }
            }
        }
        let is_end = |token| self.options.end_tokens.contains(&token) || length >= self.options.max_length;
        best.sorted
            .into_iter()
            .map(|(score, parent, token)| Candidate { parent, token, score, ends: is_end(token) })
            .collect()
    }

    /// The candidates that go on, best first; ended ones only where nothing else is left.
    fn continued(&self, candidates: &[Candidate]) -> Vec<Candidate> {
        let mut going_on: Vec<Candidate> = candidates
            .iter()
            .map(|candidate| Candidate {
                score: candidate.score + if candidate.ends { IMPOSSIBLE } else { 0.0 },
                ..*candidate
            })
            .collect();
        going_on.sort_by(|left, right| right.score.total_cmp(&left.score));
        going_on.truncate(self.running.len());
        going_on
    }

    /// Puts the sequences that ended, where they are among the first as many as there are beams, in their place
    /// among the finished ones.
    fn merge_finished(&mut self, candidates: &[Candidate], length: usize) {
        let beams = self.running.len();
        let is_full = self.finished.iter().all(|finished| finished.is_finished)
            && self.options.early_stopping == EarlyStopping::Always;
        if is_full || !self.can_improve {
            return;
        }
        let divisor = self.divisor(length - self.prompt_length);
        let ended = candidates.iter().take(beams).filter(|candidate| candidate.ends).map(|candidate| {
            let mut tokens = self.running[candidate.parent].tokens.clone();
            tokens.push(candidate.token);
            let log_probability = candidate.score;
            Finished { tokens, score: log_probability / divisor, log_probability, is_finished: true }
        });
        let mut merged = self.finished.clone();
        merged.extend(ended);
        merged.sort_by(|left, right| right.score.total_cmp(&left.score));
        merged.truncate(beams);
        self.finished = merged;
    }

    /// Whether a sequence that runs now could still come before the worst finished one.
    fn could_win(&self, best_running_score: f32, length: usize) -> bool {
        let is_patient =
            self.options.early_stopping == EarlyStopping::Never && self.options.length_penalty > 0.0;
        let best_length = if is_patient { self.options.max_length } else { length };
        let best_possible = best_running_score / self.divisor(best_length - self.prompt_length);
        let worst = self.finished.iter().map(|finished| finished.score).fold(f32::INFINITY, f32::min);
        self.finished
            .iter()
            .map(|finished| if finished.is_finished { worst } else { IMPOSSIBLE })
            .any(|worst| best_possible > worst)
    }

    fn divisor(&self, generated: usize) -> f32 {
        (generated as f64).powf(f64::from(self.options.length_penalty)) as f32
    }
}

/// The greatest of many scores with the row and token of each, best first; the earlier of equal ones first.
struct Best {
    keep: usize,
    sorted: Vec<(f32, usize, u32)>,
}

impl Best {
    fn new(keep: usize) -> Self {
        Self { keep, sorted: Vec::with_capacity(keep + 1) }
    }

    /// Whether a score would be among them.
    fn takes(&self, score: f32) -> bool {
        self.sorted.len() < self.keep || self.sorted.last().is_none_or(|last| score > last.0)
    }

    fn offer(&mut self, score: f32, parent: usize, token: u32) {
        if !self.takes(score) {
            return;
        }
        let place = self.sorted.partition_point(|other| other.0 >= score);
        self.sorted.insert(place, (score, parent, token));
        self.sorted.truncate(self.keep);
    }
}

#[cfg(test)]
mod tests;
