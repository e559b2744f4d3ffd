use proptest::prelude::*;

use super::*;

fn options(beams: usize) -> BeamOptions {
    BeamOptions {
        beams,
        end_tokens: vec![0],
        max_length: 5,
        length_penalty: 1.0,
        early_stopping: EarlyStopping::Heuristic,
    }
}

/// Runs a search over a model that gives each sequence of tokens a row of log probabilities.
fn run(options: BeamOptions, model: &dyn Fn(&[u32]) -> Vec<f32>) -> Vec<Hypothesis> {
    let mut search = BeamSearch::new(options, &[9]);
    loop {
        let rows: Vec<f32> = search.rows().flat_map(model).collect();
        let before: Vec<Vec<u32>> = search.rows().map(<[u32]>::to_vec).collect();
        match search.advance(&rows) {
            Step::Done => return search.finish(),
            Step::Continue { parents, tokens } => {
                for ((row, parent), token) in search.rows().zip(parents).zip(tokens) {
                    assert_eq!(row, [before[parent].as_slice(), &[token]].concat());
                }
            }
        }
    }
}

/// The sequences of a model that can be told by hand: after `[9]` the tokens 1 and 2 are nearly as likely, but
/// what follows 2 is certain and what follows 1 is not.
fn garden_path(tokens: &[u32]) -> Vec<f32> {
    let probabilities: [f32; 3] = match tokens {
        [9] => [0.02, 0.5, 0.48],
        [9, 1] => [0.4, 0.3, 0.3],
        [9, 2] => [0.98, 0.01, 0.01],
        _ => [0.9, 0.05, 0.05],
    };
    probabilities.iter().map(|probability| probability.ln()).collect()
}

#[test]
fn two_beams_find_what_greed_misses() {
    let found = run(options(2), &garden_path);
    assert_eq!(found[0].tokens, [2, 0]);
    let expected = (0.48f32 * 0.98).ln();
    assert!((found[0].log_probability - expected).abs() < 1e-5);
    assert!((found[0].score - expected / 2.0).abs() < 1e-5);
}

#[test]
fn a_greater_length_penalty_prefers_longer_texts() {
    // An end at once has the probability 0.3; three more tokens and an end together 0.2.
    let model = |tokens: &[u32]| -> Vec<f32> {
        let probabilities: [f32; 3] = match tokens.len() {
            1 => [0.3, 0.69, 0.01],
            4 => [0.98, 0.01, 0.01],
            _ => [0.1, 0.54, 0.36],
        };
        probabilities.iter().map(|probability| probability.ln()).collect()
    };
    let with = |length_penalty| {
        run(BeamOptions { length_penalty, early_stopping: EarlyStopping::Never, ..options(2) }, &model)
    };
    assert_eq!(with(0.0)[0].tokens, [0]);
    assert!(with(2.0)[0].tokens.len() > 2);
}

#[test]
fn a_search_ends_at_the_greatest_length_without_an_end_token() {
    let found = run(options(3), &|_| vec![-50.0, -0.7, -0.7]);
    assert_eq!(found[0].tokens.len(), 4);
    assert!(!found[0].tokens.contains(&0));
}

#[test]
fn early_stopping_takes_the_first_texts_that_end() {
    let patient = run(BeamOptions { early_stopping: EarlyStopping::Never, ..options(2) }, &garden_path);
    let hasty = run(BeamOptions { early_stopping: EarlyStopping::Always, ..options(2) }, &garden_path);
    assert_eq!(patient[0].tokens, hasty[0].tokens);
    assert!(hasty.iter().all(|hypothesis| hypothesis.tokens.len() <= 2));
}

#[test]
fn several_end_tokens_leave_enough_beams_to_go_on() {
    let several = BeamOptions { end_tokens: vec![0, 1], ..options(2) };
    let found = run(several, &|tokens| {
        if tokens.len() < 3 { vec![-0.8, -0.9, -3.0] } else { vec![-0.1, -3.0, -4.0] }
    });
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].tokens, [0]);
}

proptest! {
    /// With as many beams as there are sequences, beam search is exhaustive search.
    #[test]
    fn enough_beams_find_the_best_sequence_of_all(seed in prop::collection::vec(0.05f32..1.0, 3 * 40)) {
        let model = |tokens: &[u32]| -> Vec<f32> {
            let row = tokens[1..].iter().fold(0usize, |row, token| (row * 3 + *token as usize + 1) % 40);
            let weights = &seed[row * 3..row * 3 + 3];
            let sum: f32 = weights.iter().sum();
            weights.iter().map(|weight| (weight / sum).ln()).collect()
        };
        let exhaustive = BeamOptions {
            beams: 30,
            length_penalty: 0.0,
            max_length: 4,
            early_stopping: EarlyStopping::Never,
            ..options(30)
        };
        let found = run(exhaustive, &model);
        let mut best = f32::NEG_INFINITY;
        let mut open = vec![(vec![9u32], 0.0f32)];
        while let Some((tokens, sum)) = open.pop() {
            for (token, log_probability) in model(&tokens).into_iter().enumerate() {
                let mut longer = tokens.clone();
                longer.push(token as u32);
                if token == 0 || longer.len() == 4 {
                    best = best.max(sum + log_probability);
                } else {
                    open.push((longer, sum + log_probability));
                }
            }
        }
        prop_assert!((found[0].log_probability - best).abs() < 1e-4, "{} {best}", found[0].log_probability);
    }
}
