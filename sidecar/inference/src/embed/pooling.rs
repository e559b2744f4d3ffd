//! The states of a text's tokens become one vector, as sentence-transformers' module Pooling does it. Pure.

use serde::Deserialize;

use crate::error::LoadError;

/// How states become a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// The first token's state.
    Cls,
    /// The largest number at each place.
    Max,
    /// The mean.
    Mean,
    /// The sum over the square root of the count.
    MeanSqrtLenTokens,
    /// The mean in which the second token counts twice, the third thrice, and so on.
    #[serde(rename = "weightedmean")]
    WeightedMean,
    /// The last token's state.
    #[serde(rename = "lasttoken")]
    LastToken,
}

/// One or several ways to pool, whose vectors are put one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pooling {
    modes: Vec<Mode>,
    /// Whether the tokens of a prompt count.
    pub(super) include_prompt: bool,
}

#[derive(Deserialize)]
struct RawPooling {
    embedding_dimension: Option<usize>,
    word_embedding_dimension: Option<usize>,
    pooling_mode: Option<OneOrMany>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    include_prompt: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Mode),
    Many(Vec<Mode>),
}

impl Pooling {
    /// The mean, which is taken where a repository says nothing.
    pub(super) fn mean() -> Self {
        Self { modes: vec![Mode::Mean], include_prompt: true }
    }

    /// Reads the config of a Pooling module, in the form of any release. `file` names it in errors; `width` is that
    /// of a state.
    ///
    /// # Errors
    /// Where it asks for what is not computed here, or is made for states of another width.
    pub(super) fn parse(json: &[u8], file: &str, width: usize) -> Result<Self, LoadError> {
        let raw: RawPooling =
            serde_json::from_slice(json).map_err(|error| LoadError::corrupted(file, error))?;
        let stated = raw.embedding_dimension.or(raw.word_embedding_dimension);
        if let Some(stated) = stated.filter(|stated| *stated != width) {
            let message = format!("{file}: the dimension is {stated}, that of the transformer {width}");
            return Err(LoadError::Incompatible(message));
        }
        let modes = match raw.pooling_mode {
            Some(OneOrMany::One(mode)) => vec![mode],
            Some(OneOrMany::Many(modes)) => modes,
            None => {
                // The order is that in which sentence-transformers puts the vectors behind each other.
                let switches = [
                    (raw.pooling_mode_cls_token, Mode::Cls),
                    (raw.pooling_mode_max_tokens, Mode::Max),
                    (raw.pooling_mode_mean_tokens, Mode::Mean),
                    (raw.pooling_mode_mean_sqrt_len_tokens, Mode::MeanSqrtLenTokens),
                    (raw.pooling_mode_weightedmean_tokens, Mode::WeightedMean),
                    (raw.pooling_mode_lasttoken, Mode::LastToken),
                ];
                let on: Vec<Mode> =
                    switches.into_iter().filter(|(is_on, _)| *is_on).map(|(_, mode)| mode).collect();
                if on.is_empty() { vec![Mode::Mean] } else { on }
            }
        };
        if !(1..=MAX_MODES).contains(&modes.len()) {
            let message =
                format!("{file}: pooling_mode has {} ways, it must have 1 to {MAX_MODES}", modes.len());
            return Err(LoadError::Incompatible(message));
        }
        Ok(Self { modes, include_prompt: raw.include_prompt.unwrap_or(true) })
    }

    /// The numbers of a pooled vector, for states of `width`.
    pub(super) fn width(&self, width: usize) -> usize {
        self.modes.len() * width
    }

    /// The vector of a text, from the states of its tokens, one behind the other: at least one, each of `width`.
    pub(super) fn pool(&self, states: &[f32], width: usize) -> Vec<f32> {
        let mut vector = Vec::with_capacity(self.width(width));
        for mode in &self.modes {
            let rows = states.chunks_exact(width);
            let count = rows.len() as f32;
            match mode {
                Mode::Cls => vector.extend(rows.take(1).flatten()),
                Mode::LastToken => vector.extend(rows.last().into_iter().flatten()),
                Mode::Max => {
                    let start = vec![f32::NEG_INFINITY; width];
                    vector.extend(rows.fold(start, |largest, row| combine(largest, row, f32::max)));
                }
                Mode::Mean => vector.extend(sum(rows.map(|row| (1.0, row)), width, count)),
                Mode::MeanSqrtLenTokens => {
                    vector.extend(sum(rows.map(|row| (1.0, row)), width, count.sqrt()))
                }
                Mode::WeightedMean => {
                    let weights = (1..=rows.len()).map(|place| place as f32);
                    let total = weights.clone().sum();
                    vector.extend(sum(weights.zip(rows), width, total));
                }
            }
        }
        vector
    }
}

/// There are six ways, and no reason to name one twice.
const MAX_MODES: usize = 6;

fn sum<'rows>(rows: impl Iterator<Item = (f32, &'rows [f32])>, width: usize, divisor: f32) -> Vec<f32> {
    let mut sums = rows.fold(vec![0.0; width], |sums, (weight, row)| {
        combine(sums, row, |sum, number| sum + weight * number)
    });
    sums.iter_mut().for_each(|sum| *sum /= divisor);
    sums
}

fn combine(mut into: Vec<f32>, row: &[f32], with: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    into.iter_mut().zip(row).for_each(|(number, other)| *number = with(*number, *other));
    into
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Result<Pooling, LoadError> {
        Pooling::parse(json.to_string().as_bytes(), "1_Pooling/config.json", 2)
    }

    #[test]
    fn each_way_to_pool_is_computed_over_the_tokens() {
        let states = [1.0, -8.0, 3.0, -4.0, 2.0, -6.0];
        for (mode, expected) in [
            ("cls", [1.0, -8.0]),
            ("max", [3.0, -4.0]),
            ("mean", [2.0, -6.0]),
            ("mean_sqrt_len_tokens", [6.0 / 3f32.sqrt(), -18.0 / 3f32.sqrt()]),
            ("weightedmean", [13.0 / 6.0, -34.0 / 6.0]),
            ("lasttoken", [2.0, -6.0]),
        ] {
            let pooling = parse(serde_json::json!({"embedding_dimension": 2, "pooling_mode": mode})).unwrap();
            assert_eq!(pooling.pool(&states, 2), expected, "{mode}");
        }
    }

    #[test]
    fn switches_of_older_releases_are_read_in_their_order() {
        let both = serde_json::json!({
            "word_embedding_dimension": 2, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true,
        });
        let both = parse(both).unwrap();
        assert_eq!(both.modes, [Mode::Cls, Mode::Mean]);
        assert_eq!(both.pool(&[1.0, 2.0, 3.0, 4.0], 2), [1.0, 2.0, 2.0, 3.0]);
        assert_eq!(parse(serde_json::json!({"word_embedding_dimension": 2})).unwrap(), Pooling::mean());
    }

    #[test]
    fn what_cannot_be_pooled_is_refused() {
        for json in [
            serde_json::json!({"embedding_dimension": 3}),
            serde_json::json!({"embedding_dimension": 2, "pooling_mode": "attention"}),
            serde_json::json!({"embedding_dimension": 2, "pooling_mode": []}),
            serde_json::json!({"embedding_dimension": 2, "pooling_mode": vec!["cls"; 7]}),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.to_string().contains("1_Pooling/config.json"), "{error}");
        }
    }
}
