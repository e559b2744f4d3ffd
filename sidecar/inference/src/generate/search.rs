//! Drives a decoder through greedy or beam search for a batch of texts.

use ostler_kernels::{Kernels, Lanes};

use super::beam::{BeamOptions, BeamSearch, Hypothesis, Step};
use super::processors::LogitsProcessor;
use crate::engine::{Control, EngineError};

/// The model's side of a search: it owns the caches of a number of rows.
///
/// Rows of one text always lie together, and all texts have the same number of rows.
pub trait Decoder {
    /// How many tokens there are, and so logits a row.
    fn vocabulary(&self) -> usize;

    /// Appends to each row its tokens, as many for every row, and puts the logits of what follows the last of
    /// them in the place of what `logits` held: rows x vocabulary. A caller that brings the same `logits` again
    /// saves their allocation, which is large.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so, and where the computation fails.
    fn step(
        &mut self,
        tokens: &[Vec<u32>],
        logits: &mut Vec<f32>,
        control: &Control,
    ) -> Result<(), EngineError>;

    /// Rearranges the rows: row `i` becomes what row `parents[i]` was. Rows may repeat and vanish.
    ///
    /// # Errors
    /// Where the computation fails.
    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError>;

    /// The threads that may share the work on the logits of a step, where the decoder has any.
    fn lanes(&self) -> Option<&Lanes<'_>> {
        None
    }
}

/// How to search, and by which rules.
pub struct SearchOptions<'a> {
    /// Beams, ends, lengths; with one beam the search is greedy.
    pub beam: BeamOptions,
    /// The rules, in the order they apply.
    pub processors: &'a [Box<dyn LogitsProcessor>],
}

/// Continues each prompt, all of the same length, to the best sequence that the search finds. The decoder has
/// one row for each prompt at the start.
///
/// # Errors
/// [`EngineError::NotFinite`] where the model computes no numbers, [`EngineError::Cancelled`] where `control`
/// says so, and what the decoder fails with.
pub fn search(
    decoder: &mut dyn Decoder,
    prompts: &[Vec<u32>],
    options: &SearchOptions<'_>,
    control: &Control,
) -> Result<Vec<Hypothesis>, EngineError> {
    let nothing = || Hypothesis { tokens: Vec::new(), score: 0.0, log_probability: 0.0 };
    let found = search_all(decoder, prompts, options, control)?;
    Ok(found.into_iter().map(|found| found.into_iter().next().unwrap_or_else(nothing)).collect())
}

/// As [`search`], with every sequence that the search ends with, best first: at most as many as there are beams.
///
/// # Errors
/// As [`search`].
pub fn search_all(
    decoder: &mut dyn Decoder,
    prompts: &[Vec<u32>],
    options: &SearchOptions<'_>,
    control: &Control,
) -> Result<Vec<Vec<Hypothesis>>, EngineError> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    if options.beam.beams > 1 {
        beam_search(decoder, prompts, options, control)
    } else {
        greedy_search(decoder, prompts, options, control)
    }
}

/// Calls `work` with each of the tasks, on the decoder's threads where it has any.
fn for_each<T: Send>(decoder: &dyn Decoder, tasks: Vec<T>, work: impl Fn(T) + Sync) {
    match decoder.lanes() {
        Some(lanes) => lanes.for_each(tasks, work),
        None => tasks.into_iter().for_each(work),
    }
}

/// A row of a greedy search that has not ended.
struct GreedyRow {
    text: usize,
    tokens: Vec<u32>,
    log_probability: f32,
    /// Whether the model gave numbers for its last token.
    is_sound: bool,
}

impl GreedyRow {
    /// Appends the most probable token that the rules allow.
    fn advance(&mut self, scores: &mut [f32], processors: &[Box<dyn LogitsProcessor>], kernels: Kernels) {
        self.is_sound = kernels.is_finite(scores);
        for processor in processors {
            processor.apply(&self.tokens, scores);
        }
        let token = kernels.position_of_greatest(scores);
        let score = scores.get(token).copied().unwrap_or_default();
        // Where the rules forbid everything, nothing is left to compare with.
        self.log_probability +=
            if score.is_finite() { score - kernels.log_sum_exp_below(scores, score) } else { score };
        self.tokens.push(token as u32);
    }
}

fn greedy_search(
    decoder: &mut dyn Decoder,
    prompts: &[Vec<u32>],
    options: &SearchOptions<'_>,
    control: &Control,
) -> Result<Vec<Vec<Hypothesis>>, EngineError> {
    let (vocabulary, kernels) = (decoder.vocabulary(), Kernels::best());
    let mut results = vec![Vec::new(); prompts.len()];
    let begun = |(text, prompt): (usize, &Vec<u32>)| GreedyRow {
        text,
        tokens: prompt.clone(),
        log_probability: 0.0,
        is_sound: true,
    };
    let mut rows: Vec<GreedyRow> = prompts.iter().enumerate().map(begun).collect();
    let mut feed = prompts.to_vec();
    let mut logits = Vec::new();
    while !rows.is_empty() {
        control.check()?;
        decoder.step(&feed, &mut logits, control)?;
        let tasks = rows.iter_mut().zip(logits.chunks_exact_mut(vocabulary)).collect();
        for_each(decoder, tasks, |(row, scores): (&mut GreedyRow, &mut [f32])| {
            row.advance(scores, options.processors, kernels);
        });
        let mut going_on = Vec::with_capacity(rows.len());
        let mut places = Vec::with_capacity(rows.len());
        for (place, row) in rows.into_iter().enumerate() {
            if !row.is_sound {
                return Err(EngineError::NotFinite("a logit"));
            }
            let has_ended = row.tokens.last().is_some_and(|last| options.beam.end_tokens.contains(last));
            if has_ended || row.tokens.len() >= options.beam.max_length {
                results[row.text] = vec![Hypothesis {
                    tokens: row.tokens[prompts[row.text].len()..].to_vec(),
                    score: row.log_probability,
                    log_probability: row.log_probability,
                }];
            } else {
                places.push(place);
                going_on.push(row);
            }
        }
        if going_on.len() < feed.len() && !going_on.is_empty() {
            decoder.reorder(&places)?;
        }
        feed = going_on.iter().map(|row| row.tokens[row.tokens.len() - 1..].to_vec()).collect();
        rows = going_on;
    }
    Ok(results)
}

/// A text whose beam search has not ended.
struct Group {
    text: usize,
    search: BeamSearch,
    /// What the last step came to; `None` where the model gave no numbers.
    step: Option<Step>,
}

impl Group {
    /// Chooses the sequences to go on with, from the logits of every beam.
    fn advance(&mut self, logits: &mut [f32], processors: &[Box<dyn LogitsProcessor>], kernels: Kernels) {
        let rows = self.search.rows().count().max(1);
        let vocabulary = logits.len() / rows;
        for (row, scores) in self.search.rows().zip(logits.chunks_exact_mut(vocabulary.max(1))) {
            // Minus infinity is a rule's work, and rules come later: a model's own logits are all finite.
            if !kernels.is_finite(scores) {
                self.step = None;
                return;
            }
            kernels.log_softmax(scores);
            for processor in processors {
                processor.apply(row, scores);
            }
        }
        self.step = Some(self.search.advance(logits));
    }
}

fn beam_search(
    decoder: &mut dyn Decoder,
    prompts: &[Vec<u32>],
    options: &SearchOptions<'_>,
    control: &Control,
) -> Result<Vec<Vec<Hypothesis>>, EngineError> {
    let (vocabulary, kernels) = (decoder.vocabulary(), Kernels::best());
    let beams = options.beam.beams;
    let mut results = vec![Vec::new(); prompts.len()];
    let begun = |(text, prompt): (usize, &Vec<u32>)| Group {
        text,
        search: BeamSearch::new(options.beam.clone(), prompt),
        step: None,
    };
    let mut groups: Vec<Group> = prompts.iter().enumerate().map(begun).collect();
    // The prompt is fed once for each text; its row is then repeated for every beam.
    let mut prompt_logits = Vec::new();
    control.check()?;
    decoder.step(prompts, &mut prompt_logits, control)?;
    let parents: Vec<usize> = (0..prompts.len()).flat_map(|text| std::iter::repeat_n(text, beams)).collect();
    decoder.reorder(&parents)?;
    let mut logits: Vec<f32> = prompt_logits
        .chunks_exact(vocabulary)
        .flat_map(|row| std::iter::repeat_n(row, beams).flatten().copied())
        .collect();
    loop {
        let tasks = groups.iter_mut().zip(logits.chunks_exact_mut(vocabulary * beams)).collect();
        for_each(decoder, tasks, |(group, logits): (&mut Group, &mut [f32])| {
            group.advance(logits, options.processors, kernels);
        });
        let mut going_on = Vec::with_capacity(groups.len());
        let mut parents = Vec::with_capacity(groups.len() * beams);
        let mut feed = Vec::with_capacity(groups.len() * beams);
        for (place, mut group) in groups.into_iter().enumerate() {
            match group.step.take() {
                None => return Err(EngineError::NotFinite("a logit")),
                Some(Step::Continue { parents: chosen, tokens }) => {
                    parents.extend(chosen.into_iter().map(|parent| place * beams + parent));
                    feed.extend(tokens.into_iter().map(|token| vec![token]));
                    going_on.push(group);
                }
                Some(Step::Done) => results[group.text] = group.search.finish(),
            }
        }
        groups = going_on;
        if groups.is_empty() {
            return Ok(results);
        }
        decoder.reorder(&parents)?;
        control.check()?;
        decoder.step(&feed, &mut logits, control)?;
    }
}
