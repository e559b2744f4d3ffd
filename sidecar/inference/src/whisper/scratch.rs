//! The memory that one transcription needs beside the weights.

use super::config::ModelConfig;
use super::forward::Forward;

/// The most windows of a batch: with more, decoder steps are bound by arithmetic and no longer by memory.
const MOST_WINDOWS: u64 = 16;
/// What the windows of a batch may take, in bytes; a single one may take more.
const BATCH_BYTES: u64 = 256 << 20;

/// How many windows are worked on at once, where one takes so many bytes.
#[must_use]
pub(super) fn windows_at_once(window_bytes: u64) -> u64 {
    (BATCH_BYTES / window_bytes.max(1)).clamp(1, MOST_WINDOWS)
}

/// The most bytes that a job takes at once, searching with up to `beams`. Its samples are the caller's.
///
/// A window is encoded while the others of its batch have their memories already; then all of them are decoded, and
/// then the tokens of each are placed in time by `alignment_heads`. `kept_bytes` of the clip's spectrogram stay all
/// the while.
#[must_use]
pub(super) fn bytes<F: Forward>(
    forward: &F,
    config: &ModelConfig,
    alignment_heads: usize,
    beams: usize,
    kept_bytes: u64,
) -> u64 {
    // The weights of each head and a copy without the prompt.
    let alignment =
        (2 * alignment_heads * config.max_target_positions * config.max_source_positions * 4) as u64;
    let batch = |rows: usize| {
        let window = forward.window_bytes(rows);
        let windows = windows_at_once(window);
        let feed = forward.feed_bytes(windows as usize, rows);
        windows * window + forward.encode_bytes().max(feed).max(forward.feed_bytes(1, 1) + alignment)
    };
    let mel = (2 * config.max_source_positions * config.num_mel_bins * 4) as u64;
    kept_bytes + mel + batch(1).max(batch(beams))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_stay_within_their_memory() {
        assert_eq!([0, 1, 32 << 20, 100 << 20, 1 << 30].map(windows_at_once), [16, 16, 8, 2, 1]);
    }
}
