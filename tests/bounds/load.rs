//! How long whisper-base takes from files in the page cache to an engine that has proved itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ostler_crds::names::{Dtype, Task};
use ostler_inference::load::{LoadOptions, PicklePolicy, inspect, load};
use ostler_inference::processor::Processor;

use crate::Failure;
use ostler_tests::percentile::{percentile, sorted};

use crate::measurement::Measurement;

/// The bound, in seconds.
const BOUND: f64 = 1.0;
/// Loads that count. One more before them brings the files into the page cache.
const ROUNDS: usize = 5;

/// Measures it as the sidecar does it: the size from the headers, the weights, and the first small job.
pub(crate) fn measure(folder: &Path) -> Result<Measurement, Failure> {
    let processor = Arc::new(Processor::whole());
    let options = LoadOptions { dtype: Dtype::Auto, pickle: PicklePolicy::Refused, processor, packed: None };
    let task = Task::AutomaticSpeechRecognition;
    let (mut times, mut canaries) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let started = Instant::now();
        inspect(folder, task, &options)?;
        let engine = load(folder, task, &options)?;
        let loaded = started.elapsed();
        engine.canary()?;
        if round > 0 {
            times.push(started.elapsed().as_secs_f64());
            canaries.push((started.elapsed() - loaded).as_secs_f64());
        }
    }
    let (times, canaries) = (sorted(times), sorted(canaries));
    Ok(Measurement {
        what: "load of whisper-base",
        bound: BOUND,
        measured: percentile(&times, 50),
        unit: "s",
        remark: format!(
            "headers, weights and first job, median of {ROUNDS}; the slowest {:.2} s; of it the first job {:.3} s",
            percentile(&times, 100),
            percentile(&canaries, 50),
        ),
    })
}
