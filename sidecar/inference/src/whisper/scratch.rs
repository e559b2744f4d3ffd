//! The memory that one transcription needs beside the weights.

use super::config::ModelConfig;

/// The most bytes that a job takes at once, searching with `beams`. Its samples are the caller's.
///
/// The encoder's peak is a layer's attention: the scores of every head, their softmax and the copy that the
/// product takes, with the states around them. The decoder's is its caches, of which one layer's exists twice
/// while rows change places, and the logits with their copies. Cross-attention keys and values exist twice while
/// the language is known and the first window begins.
#[must_use]
pub(super) fn bytes(config: &ModelConfig, beams: usize) -> u64 {
    let [width, source, target, vocabulary, beams, bands] = [
        config.d_model,
        config.max_source_positions,
        config.max_target_positions,
        config.vocab_size,
        beams,
        config.num_mel_bins,
    ]
    .map(|size| size as u64);
    let [layers, encoder_heads, decoder_heads, encoder_inner] =
        [config.decoder.layers, config.encoder.heads, config.decoder.heads, config.encoder.feed_forward]
            .map(|size| size as u64);
    let mel = 2 * source * bands;
    // The first convolution sees three frames at once for each of its outputs.
    let convolution = 2 * source * (3 * bands.max(width) + 2 * width);
    let attention = 3 * encoder_heads * source * source + 8 * source * width;
    let feed_forward = source * (3 * encoder_inner + 3 * width);
    let encoder = mel + convolution.max(attention).max(feed_forward);
    let cross = 2 * layers * 2 * source * width;
    let caches = 2 * (layers + 1) * beams * target * width;
    let scores = 3 * beams.max(target) * decoder_heads * source.max(target);
    let logits = 4 * beams * vocabulary;
    4 * (source * width + cross + encoder.max(caches + scores + logits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_large_take_what_they_are_known_to() {
        let config = |width: usize, layers: usize, heads: usize, bands: usize| {
            let json = format!(
                r#"{{"d_model": {width}, "encoder_layers": {layers}, "encoder_attention_heads": {heads},
                    "encoder_ffn_dim": {inner}, "decoder_layers": {layers}, "decoder_attention_heads": {heads},
                    "decoder_ffn_dim": {inner}, "vocab_size": 51866, "num_mel_bins": {bands},
                    "max_source_positions": 1500, "max_target_positions": 448}}"#,
                inner = 4 * width
            );
            ModelConfig::parse(json.as_bytes()).expect("valid")
        };
        let mebibytes = |bytes: u64| bytes >> 20;
        assert_eq!(mebibytes(bytes(&config(512, 6, 8, 80), 5)), 303);
        assert_eq!(mebibytes(bytes(&config(1280, 32, 20, 128), 5)), 1824);
    }
}
