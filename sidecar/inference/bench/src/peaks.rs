//! What this processor can do at most, measured.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use ostler_kernels::{Format, Instructions, peak};

use crate::machine::Peaks;

/// How long one measurement takes, and how many there are of each; the best counts, since nothing makes a processor
/// faster than it is.
const SPAN: Duration = Duration::from_millis(150);
const TIMES: usize = 4;
/// Rounds of a burst between looks at the clock: some tens of microseconds.
const ROUNDS: u64 = 4_000;

/// Measures what `threads` threads can do at once with these instructions, and how fast they read over and over so many
/// bytes for each of `sizes`.
#[must_use]
pub fn measure(threads: usize, instructions: Instructions, sizes: &[u64]) -> Peaks {
    let arithmetic = |format| {
        peak::burst(instructions, format, 1)?;
        Some(best(threads, |_| peak::burst(instructions, format, ROUNDS).unwrap_or(0)))
    };
    let float32 = arithmetic(Format::Float32).unwrap_or(f64::INFINITY);
    let streams = sizes.iter().map(|bytes| (*bytes, stream(threads, instructions, *bytes)));
    Peaks {
        instructions: Some(instructions),
        int8: arithmetic(Format::Int8).unwrap_or(float32),
        bfloat16: arithmetic(Format::Bfloat16).unwrap_or(float32),
        float32,
        streams: streams.collect::<BTreeMap<u64, f64>>(),
    }
}

fn stream(threads: usize, instructions: Instructions, bytes: u64) -> f64 {
    let words = vec![1u64; (bytes as usize / size_of::<u64>()).max(threads)];
    let share = words.len().div_ceil(threads);
    best(threads, |thread| {
        let part = words.chunks(share).nth(thread).unwrap_or_default();
        std::hint::black_box(peak::stream(instructions, part));
        size_of_val(part) as u64
    })
}

/// The best of several rates: `work` is done over and over by every thread, and gives how much it did.
fn best(threads: usize, work: impl Fn(usize) -> u64 + Sync) -> f64 {
    let once = || -> f64 {
        thread::scope(|scope| {
            let work = &work;
            let rates: Vec<_> = (0..threads)
                .map(|thread| {
                    scope.spawn(move || {
                        work(thread);
                        let (start, mut done) = (Instant::now(), 0);
                        while start.elapsed() < SPAN {
                            done += work(thread);
                        }
                        done as f64 / start.elapsed().as_secs_f64()
                    })
                })
                .collect();
            rates.into_iter().filter_map(|rate| rate.join().ok()).sum()
        })
    };
    (0..TIMES).map(|_| once()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_can_do_something() {
        let peaks = measure(1, Instructions::best(), &[1 << 20]);
        for rate in [peaks.int8, peaks.bfloat16, peaks.float32, peaks.stream(1 << 20)] {
            assert!(rate > 1e6 && rate.is_finite(), "{peaks:?}");
        }
    }
}
