//! When each token was spoken, from how the alignment heads look at the window while it is read.
//!
//! The steps are those of transformers' `_extract_token_timestamps`, which follow OpenAI's: each frame's weights are
//! standardised over the tokens, smoothed by a median over time and averaged over the heads; dynamic time warping
//! then finds the way through tokens and frames along which they agree most.

use super::segments::TIMESTAMP_SECONDS;

/// The seconds, from the start of the window, at which each token begins. `weights` is heads x tokens x `positions`,
/// of which the first `frames` hold sound; `median_width` is odd.
#[must_use]
pub(super) fn token_times(
    mut weights: Vec<f32>,
    tokens: usize,
    positions: usize,
    frames: usize,
    median_width: usize,
) -> Vec<f64> {
    let frames = frames.min(positions);
    if tokens == 0 || frames == 0 {
        return vec![0.0; tokens];
    }
    let mut agreement = vec![0.0; tokens * frames];
    let mut smoothed = Vec::with_capacity(frames);
    for head in weights.chunks_exact_mut(tokens * positions) {
        standardise(head, positions, frames);
        for (row, agreement) in head.chunks_exact(positions).zip(agreement.chunks_exact_mut(frames)) {
            median_filter(&row[..frames], median_width, &mut smoothed);
            agreement.iter_mut().zip(&smoothed).for_each(|(sum, value)| *sum += value);
        }
    }
    // The number of heads scales every cost alike, so the sum leads the same way as the mean.
    first_frames(&agreement, tokens, frames)
        .into_iter()
        .map(|frame| frame as f64 * TIMESTAMP_SECONDS)
        .collect()
}

/// Makes each of the first `frames` columns of a matrix of rows of `width` have mean 0 and deviation 1.
fn standardise(matrix: &mut [f32], width: usize, frames: usize) {
    let rows = (matrix.len() / width) as f32;
    let mut mean = vec![0.0f32; frames];
    let mut variance = vec![0.0f32; frames];
    for row in matrix.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / rows);
    }
    for row in matrix.chunks_exact(width) {
        for ((variance, mean), value) in variance.iter_mut().zip(&mean).zip(row) {
            *variance += (value - mean) * (value - mean) / rows;
        }
    }
    for row in matrix.chunks_exact_mut(width) {
        for ((value, mean), variance) in row.iter_mut().zip(&mean).zip(&variance) {
            // A single token has no deviation, and then nothing is told apart.
            *value = if *variance > 0.0 { (*value - mean) / variance.sqrt() } else { 0.0 };
        }
    }
}

/// The median of each value and its neighbours, the row reflected at its ends. A row as short as half of the
/// width stays as it is.
fn median_filter(row: &[f32], width: usize, smoothed: &mut Vec<f32>) {
    smoothed.clear();
    let half = width / 2;
    if row.len() <= half {
        smoothed.extend_from_slice(row);
        return;
    }
    let reflected = |place: isize| {
        let last = row.len() as isize - 1;
        row[(last - (last - place.abs()).abs()) as usize]
    };
    let mut window = Vec::with_capacity(width);
    for center in 0..row.len() as isize {
        window.clear();
        window.extend((center - half as isize..=center + half as isize).map(reflected));
        window.sort_unstable_by(f32::total_cmp);
        smoothed.push(window[half]);
    }
}

/// The step by which the best way came to a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Both,
    Token,
    Frame,
}

/// Dynamic time warping: the frame at which the way of the greatest `agreement` (tokens x frames) enters each token.
fn first_frames(agreement: &[f32], tokens: usize, frames: usize) -> Vec<usize> {
    // Before the first token and the first frame there is nothing: those places cost infinitely much.
    let mut above = vec![f32::INFINITY; frames + 1];
    above[0] = 0.0;
    let mut steps = Vec::with_capacity(tokens * frames);
    for row in agreement.chunks_exact(frames) {
        let mut costs = Vec::with_capacity(frames + 1);
        costs.push(f32::INFINITY);
        for (frame, agreement) in row.iter().enumerate() {
            let (both, token, left) = (above[frame], above[frame + 1], costs[frame]);
            let (cost, step) = if both < token && both < left {
                (both, Step::Both)
            } else if token < both && token < left {
                (token, Step::Token)
            } else {
                (left, Step::Frame)
            };
            costs.push((f64::from(cost) - f64::from(*agreement)) as f32);
            steps.push(step);
        }
        above = costs;
    }
    let mut first = vec![0; tokens];
    let (mut token, mut frame) = (tokens - 1, frames - 1);
    loop {
        first[token] = frame;
        match steps[token * frames + frame] {
            Step::Both if token > 0 && frame > 0 => (token, frame) = (token - 1, frame - 1),
            Step::Token if token > 0 => token -= 1,
            Step::Frame if frame > 0 => frame -= 1,
            // The edge: what is left of the way runs along it.
            _ if token == 0 => {
                first[0] = 0;
                return first;
            }
            _ => token -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_begin_where_their_head_looks() {
        // Three tokens over nine frames, each looking at three of them; the tenth position holds no sound.
        let row =
            |from: usize| (0..10).map(move |at| if (from..from + 3).contains(&at) { 0.3 } else { 0.01 });
        let weights: Vec<f32> = [0, 3, 6].into_iter().flat_map(row).collect();
        let times = token_times(weights.clone(), 3, 10, 9, 1);
        assert_eq!(times, [0.0, 0.06, 0.12]);
        let twice = [weights.clone(), weights].concat();
        assert_eq!(token_times(twice, 3, 10, 9, 1), times);
        assert_eq!(token_times(Vec::new(), 0, 10, 9, 7), [0.0; 0]);
        assert_eq!(token_times(vec![0.1; 20], 2, 10, 0, 7), [0.0, 0.0]);
        assert_eq!(token_times(vec![0.1; 10], 1, 10, 10, 7), [0.0]);
    }

    #[test]
    fn the_median_reflects_at_the_ends() {
        let mut smoothed = Vec::new();
        median_filter(&[5.0, 1.0, 9.0, 2.0], 3, &mut smoothed);
        assert_eq!(smoothed, [1.0, 5.0, 2.0, 9.0]);
        median_filter(&[5.0, 1.0, 9.0], 7, &mut smoothed);
        assert_eq!(smoothed, [5.0, 1.0, 9.0]);
    }

    proptest! {
        #[test]
        fn times_never_go_back_and_stay_in_the_window(
            (tokens, frames, weights) in (1usize..12, 1usize..20).prop_flat_map(|(tokens, frames)| {
                (Just(tokens), Just(frames), prop::collection::vec(0.0f32..1.0, 2 * tokens * frames))
            }),
        ) {
            let times = token_times(weights, tokens, frames, frames, 7);
            prop_assert_eq!(times.len(), tokens);
            prop_assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", times);
            prop_assert!(times[tokens - 1] < frames as f64 * TIMESTAMP_SECONDS);
        }
    }
}
