use std::path::Path;

use ostler_crds::names::Dtype;

use super::*;
use crate::seq2seq::config::{self, Family};
use crate::weights::Purpose;
use crate::weights::pickle::PicklePolicy;

const INT8: Dtype = Dtype::Int8;

fn model(dtype: Dtype, threads: usize) -> KernelModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/opus-mt-en-de");
    let architecture = config::read(&folder, Family::Marian).unwrap();
    let weights = Weights::open(&folder, &PicklePolicy::Refused, Purpose::Run).unwrap();
    let processor = Arc::new(Processor::new(std::num::NonZeroUsize::new(threads), None).unwrap());
    let precision = Precision::of(dtype, processor.kernels()).unwrap();
    KernelModel::load(&weights, architecture, precision, &processor).unwrap()
}

/// Sentences of several lengths, some of them long enough to be shared out to threads.
fn sentences() -> Vec<Vec<u32>> {
    let lengths = [3, 17, 1, 60, 9, 25, 2, 31, 40, 5, 12, 8, 77, 21, 4, 16];
    let token = |place: usize, salt: usize| (5 + (place * 7919 + salt * 104_729) % 200) as u32;
    lengths
        .iter()
        .enumerate()
        .map(|(salt, length)| (0..*length).map(|place| token(place, salt)).collect())
        .collect()
}

/// The bits of the logits of each row at each of four steps, with several rows for a sentence that change places.
fn bits(model: &KernelModel, sentences: &[&[u32]], beams: usize) -> Vec<Vec<Vec<u32>>> {
    let control = Control::default();
    let mut decoder = model.start(sentences, &control).unwrap();
    let mut logits = Vec::new();
    let mut rows = vec![Vec::new(); sentences.len() * beams];
    let mut step = |decoder: &mut dyn Decoder, tokens: Vec<u32>| {
        let tokens: Vec<Vec<u32>> = tokens.into_iter().map(|token| vec![token]).collect();
        decoder.step(&tokens, &mut logits, &control).unwrap();
        let vocabulary = decoder.vocabulary();
        logits
            .chunks_exact(vocabulary)
            .map(|row| row.iter().map(|one| one.to_bits()).collect())
            .collect::<Vec<Vec<u32>>>()
    };
    let first = step(decoder.as_mut(), vec![0; sentences.len()]);
    for (row, bits) in rows.iter_mut().zip(first.iter().flat_map(|bits| vec![bits.clone(); beams])) {
        row.push(bits);
    }
    let spread: Vec<usize> = (0..rows.len()).map(|row| row / beams).collect();
    decoder.reorder(&spread).unwrap();
    for position in 1..5 {
        let tokens = (0..rows.len()).map(|row| (7 + row % beams * 3 + position) as u32).collect();
        let step = step(decoder.as_mut(), tokens);
        rows.iter_mut().zip(step).for_each(|(row, bits)| row.push(bits));
        // Each sentence's rows go on from its last.
        let parents: Vec<usize> = (0..rows.len()).map(|row| row / beams * beams + beams - 1).collect();
        decoder.reorder(&parents).unwrap();
    }
    rows
}

#[test]
fn a_sentence_s_numbers_do_not_depend_on_its_batch_nor_on_the_threads() {
    let sentences = sentences();
    let slices: Vec<&[u32]> = sentences.iter().map(Vec::as_slice).collect();
    for dtype in [Dtype::Float32, Dtype::Bfloat16, INT8] {
        let (model, single) = (model(dtype, 2), model(dtype, 1));
        for beams in [1, 3] {
            let together = bits(&model, &slices, beams);
            assert!(together == bits(&single, &slices, beams), "{dtype}, {beams} beams, one thread");
            for (number, sentence) in slices.iter().enumerate() {
                let alone = bits(&model, &[sentence], beams);
                let own = &together[number * beams..(number + 1) * beams];
                assert!(alone == own, "{dtype}, {beams} beams, sentence {number}");
            }
            // At every place of a batch.
            for turn in 1..slices.len() {
                let mut turned = slices.clone();
                turned.rotate_left(turn);
                let again = bits(&model, &turned, beams);
                let mut expected: Vec<_> = together.chunks(beams).collect();
                expected.rotate_left(turn);
                assert!(again.chunks(beams).eq(expected), "{dtype}, {beams} beams, turned by {turn}");
            }
        }
    }
}

#[test]
fn narrower_formats_stay_near_float32() {
    let sentences = sentences();
    let slices: Vec<&[u32]> = sentences.iter().map(Vec::as_slice).collect();
    let logits = |dtype| -> Vec<f32> {
        let rows = bits(&model(dtype, 2), &slices, 1);
        rows.into_iter().flatten().flatten().map(f32::from_bits).collect()
    };
    let exact = logits(Dtype::Float32);
    let size = exact.iter().map(|logit| logit.powi(2)).sum::<f32>();
    for (dtype, bound) in [(Dtype::Bfloat16, 0.02), (INT8, 0.06)] {
        let near = logits(dtype);
        let off = exact.iter().zip(&near).map(|(left, right)| (left - right).powi(2)).sum::<f32>();
        let relative = (off / size).sqrt();
        assert!(relative > 0.0 && relative < bound, "{dtype}: {relative}");
    }
}
