//! The floor: what a piece of work takes at least on a processor whose peaks are known.
//!
//! Work is stages, one after another, each of them repeated. A stage can be no faster than its arithmetic at peak rate,
//! nor than reading what it must read of memory; at best the two overlap entirely, so it takes the longer of them.
//! Arithmetic of several formats shares the same units, so their times add up. Everything that has no floor worth the
//! name is left out (log-mel, softmax, layer norms, activations, tokens, rules): no implementation reaches the floor.

use crate::machine::Peaks;

/// Multiplications and additions (a product of two numbers that is added up is two), by the format they are done in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Operations {
    /// Products of bytes.
    pub int8: f64,
    /// Products of bfloat16.
    pub bfloat16: f64,
    /// Products of float32.
    pub float32: f64,
}

/// A part of the work that is done a number of times.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stage {
    /// What it is called.
    pub name: &'static str,
    /// How often it is done.
    pub times: usize,
    /// The arithmetic of one time.
    pub operations: Operations,
    /// Bytes that one time reads of memory.
    pub bytes: u64,
}

/// The seconds of all stages.
#[must_use]
pub fn seconds(stages: &[Stage], peaks: &Peaks) -> f64 {
    stages.iter().map(|stage| stage_seconds(stage, peaks)).sum()
}

/// The seconds of one stage, all of its times.
#[must_use]
pub fn stage_seconds(stage: &Stage, peaks: &Peaks) -> f64 {
    let Operations { int8, bfloat16, float32 } = stage.operations;
    let time = |operations: f64, peak: f64| if operations > 0.0 { operations / peak } else { 0.0 };
    let arithmetic = time(int8, peaks.int8) + time(bfloat16, peaks.bfloat16) + time(float32, peaks.float32);
    let reading = stage.bytes as f64 / peaks.stream(stage.bytes);
    stage.times as f64 * arithmetic.max(reading)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn peaks() -> Peaks {
        Peaks {
            instructions: None,
            int8: 400.0,
            bfloat16: 200.0,
            float32: 100.0,
            streams: BTreeMap::from([(10, 20.0), (100, 10.0)]),
        }
    }

    #[test]
    fn the_longer_of_arithmetic_and_reading_counts() {
        let of = |int8, bfloat16, float32, bytes, times| {
            let operations = Operations { int8, bfloat16, float32 };
            stage_seconds(&Stage { name: "", times, operations, bytes }, &peaks())
        };
        for (name, found, expected) in [
            ("nothing", of(0.0, 0.0, 0.0, 0, 1), 0.0),
            ("bytes", of(800.0, 0.0, 0.0, 0, 1), 2.0),
            ("formats add up", of(400.0, 200.0, 100.0, 0, 1), 3.0),
            ("repeated", of(0.0, 0.0, 100.0, 0, 5), 5.0),
            ("reading is longer", of(400.0, 0.0, 0.0, 100, 1), 10.0),
            ("arithmetic is longer", of(8000.0, 0.0, 0.0, 100, 1), 20.0),
            ("few bytes come from a cache", of(0.0, 0.0, 0.0, 10, 2), 1.0),
        ] {
            assert!((found - expected).abs() < 1e-9, "{name}: {found}");
        }
    }

    #[test]
    fn stages_follow_each_other() {
        let stage = Stage {
            name: "a",
            times: 2,
            operations: Operations { float32: 100.0, ..Operations::default() },
            bytes: 0,
        };
        assert!((seconds(&[stage.clone(), stage], &peaks()) - 4.0).abs() < 1e-9);
    }
}
