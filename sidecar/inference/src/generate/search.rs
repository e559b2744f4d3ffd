//! Drives a decoder through greedy or beam search for a batch of texts.

use super::beam::{BeamOptions, BeamSearch, Hypothesis, Step};
use super::processors::LogitsProcessor;
use super::scores::{argmax, log_softmax};
use crate::engine::{Control, EngineError};

/// The model's side of a search: it owns the caches of a number of rows.
///
/// Rows of one text always lie together, and all texts have the same number of rows.
pub trait Decoder {
    /// How many tokens there are, and so logits a row.
    fn vocabulary(&self) -> usize;

    /// Appends to each row its tokens, as many for every row, and gives the logits of what follows the last of
    /// them: rows x vocabulary.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] where `control` says so, and where the computation fails.
    fn step(&mut self, tokens: &[Vec<u32>], control: &Control) -> Result<Vec<f32>, EngineError>;

    /// Rearranges the rows: row `i` becomes what row `parents[i]` was. Rows may repeat and vanish.
    ///
    /// # Errors
    /// Where the computation fails.
    fn reorder(&mut self, parents: &[usize]) -> Result<(), EngineError>;
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
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    if options.beam.beams > 1 {
        beam_search(decoder, prompts, options, control)
    } else {
        greedy_search(decoder, prompts, options, control)
    }
}

fn step(decoder: &mut dyn Decoder, tokens: &[Vec<u32>], control: &Control) -> Result<Vec<f32>, EngineError> {
    control.check()?;
    let logits = decoder.step(tokens, control)?;
    // Minus infinity would be a rule's work, and rules come later: a model's own logits are all finite.
    if logits.iter().all(|logit| logit.is_finite()) {
        Ok(logits)
    } else {
        Err(EngineError::NotFinite("a logit"))
    }
}

/// A row of a greedy search that has not ended.
struct GreedyRow {
    text: usize,
    tokens: Vec<u32>,
    log_probability: f32,
}

fn greedy_search(
    decoder: &mut dyn Decoder,
    prompts: &[Vec<u32>],
    options: &SearchOptions<'_>,
    control: &Control,
) -> Result<Vec<Hypothesis>, EngineError> {
    let vocabulary = decoder.vocabulary();
    let mut results =
        vec![Hypothesis { tokens: Vec::new(), score: 0.0, log_probability: 0.0 }; prompts.len()];
    let mut rows: Vec<GreedyRow> = prompts
        .iter()
        .enumerate()
        .map(|(text, prompt)| GreedyRow { text, tokens: prompt.clone(), log_probability: 0.0 })
        .collect();
    let mut feed = prompts.to_vec();
    while !rows.is_empty() {
        let mut logits = step(decoder, &feed, control)?;
        let mut going_on = Vec::with_capacity(rows.len());
        let mut places = Vec::with_capacity(rows.len());
        for (place, (mut row, scores)) in
            rows.into_iter().zip(logits.chunks_exact_mut(vocabulary)).enumerate()
        {
            for processor in options.processors {
                processor.apply(&row.tokens, scores);
            }
            let token = argmax(scores);
            log_softmax(scores);
            row.log_probability += scores.get(token).copied().unwrap_or_default();
            row.tokens.push(token as u32);
            if options.beam.end_tokens.contains(&(token as u32))
                || row.tokens.len() >= options.beam.max_length
            {
                results[row.text] = Hypothesis {
                    tokens: row.tokens[prompts[row.text].len()..].to_vec(),
                    score: row.log_probability,
                    log_probability: row.log_probability,
                };
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

fn beam_search(
    decoder: &mut dyn Decoder,
    prompts: &[Vec<u32>],
    options: &SearchOptions<'_>,
    control: &Control,
) -> Result<Vec<Hypothesis>, EngineError> {
    let vocabulary = decoder.vocabulary();
    let beams = options.beam.beams;
    let mut results =
        vec![Hypothesis { tokens: Vec::new(), score: 0.0, log_probability: 0.0 }; prompts.len()];
    let mut searches: Vec<(usize, BeamSearch)> = prompts
        .iter()
        .enumerate()
        .map(|(text, prompt)| (text, BeamSearch::new(options.beam.clone(), prompt)))
        .collect();
    // The prompt is fed once for each text; its row is then repeated for every beam.
    let prompt_logits = step(decoder, prompts, control)?;
    let parents: Vec<usize> = (0..prompts.len()).flat_map(|text| std::iter::repeat_n(text, beams)).collect();
    decoder.reorder(&parents)?;
    let mut logits: Vec<f32> = prompt_logits
        .chunks_exact(vocabulary)
        .flat_map(|row| std::iter::repeat_n(row, beams).flatten().copied())
        .collect();
    loop {
        let mut going_on = Vec::with_capacity(searches.len());
        let mut parents = Vec::with_capacity(searches.len() * beams);
        let mut feed = Vec::with_capacity(searches.len() * beams);
        let groups = logits.chunks_exact_mut(vocabulary * beams);
        for (group, ((text, mut search), scores)) in searches.into_iter().zip(groups).enumerate() {
            for (row, scores) in search.rows().zip(scores.chunks_exact_mut(vocabulary)) {
                log_softmax(scores);
                for processor in options.processors {
                    processor.apply(row, scores);
                }
            }
            match search.advance(scores) {
                Step::Continue { parents: chosen, tokens } => {
                    parents.extend(chosen.into_iter().map(|parent| group * beams + parent));
                    feed.extend(tokens.into_iter().map(|token| vec![token]));
                    going_on.push((text, search));
                }
                Step::Done => {
                    if let Some(best) = search.finish().into_iter().next() {
                        results[text] = best;
                    }
                }
            }
        }
        searches = going_on;
        if searches.is_empty() {
            return Ok(results);
        }
        decoder.reorder(&parents)?;
        logits = step(decoder, &feed, control)?;
    }
}
