//! Which language a clip is in: the most probable language token after the start token.

use super::generation_config::Multilingual;
use super::rules::log_sum_exp;

/// The most probable language and its probability among the languages, given the logits after the start token.
#[must_use]
pub(super) fn detect(multilingual: &Multilingual, logits: &[f32]) -> Option<(String, u32, f32)> {
    let candidates: Vec<(&String, u32, f32)> = multilingual
        .languages
        .iter()
        .filter_map(|(code, &token)| logits.get(token as usize).map(|&logit| (code, token, logit)))
        .collect();
    let logits: Vec<f32> = candidates.iter().map(|(_, _, logit)| *logit).collect();
    // Of equal ones the lower token, as an argmax over the vocabulary would have it.
    let (code, token, logit) =
        candidates.into_iter().max_by(|left, right| left.2.total_cmp(&right.2).then(right.1.cmp(&left.1)))?;
    Some((code.clone(), token, (logit - log_sum_exp(&logits)).exp()))
}
