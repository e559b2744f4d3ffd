//! Opus packets to samples, with what their header asks for: skipped samples, gain, and how streams map to
//! channels (RFC 7845, 5.1).

use opus_decoder::OpusMultistreamDecoder;

use super::error::AudioError;

const CODEC: &str = "opus";
/// Opus decodes at this rate whatever was fed to its encoder.
pub(super) const RATE: u32 = 48_000;
/// The longest packet, 120 ms, in samples of a channel.
const LONGEST_PACKET: usize = 5_760;

/// Decodes one Opus track.
pub(super) struct OpusTrack {
    decoder: OpusMultistreamDecoder,
    channels: usize,
    gain: f32,
    /// Samples of a channel that are still to be skipped at the start.
    skip: usize,
    buffer: Vec<f32>,
}

/// The header of an Opus stream.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    channels: usize,
    skip: usize,
    /// In 256ths of a decibel.
    gain: i16,
    streams: usize,
    coupled: usize,
    mapping: Vec<u8>,
}

impl OpusTrack {
    /// A decoder for the track whose header this is. WebM files may have none; then mono or stereo is plain.
    pub(super) fn new(header: Option<&[u8]>, channels: usize) -> Result<Self, AudioError> {
        let head = match header {
            Some(header) => Head::parse(header).ok_or_else(|| damaged("its header is no OpusHead"))?,
            None => Head::plain(channels, 0, 0).ok_or_else(|| damaged("it has no header"))?,
        };
        let decoder =
            OpusMultistreamDecoder::new(RATE, head.channels, head.streams, head.coupled, &head.mapping)
                .map_err(|error| damaged(error.to_string()))?;
        Ok(Self {
            decoder,
            channels: head.channels,
            gain: 10_f32.powf(f32::from(head.gain) / (20.0 * 256.0)),
            skip: head.skip,
            buffer: vec![0.0; LONGEST_PACKET * head.channels],
        })
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Appends a packet's samples without the last `drop_end` of each channel, which the container says are padding.
    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        drop_end: usize,
        interleaved: &mut Vec<f32>,
    ) -> Result<(), AudioError> {
        if packet.is_empty() {
            return Err(damaged("a packet is empty"));
        }
        let frames = self
            .decoder
            .decode_float(packet, &mut self.buffer, false)
            .map_err(|error| damaged(error.to_string()))?;
        let skipped = self.skip.min(frames);
        self.skip -= skipped;
        let end = frames.saturating_sub(drop_end).max(skipped);
        let samples = self.buffer.get(skipped * self.channels..end * self.channels).unwrap_or_default();
        interleaved.extend(samples.iter().map(|sample| sample * self.gain));
        Ok(())
    }
}

impl Head {
    fn parse(header: &[u8]) -> Option<Self> {
        let fixed = header.strip_prefix(b"OpusHead")?.get(..11)?;
        let channels = usize::from(fixed[1]);
        // MP4 has the same fields in its own byte order, and version 0 where Ogg and WebM have 1.
        let number =
            |high: u8, low: u8| u16::from_be_bytes(if fixed[0] == 0 { [low, high] } else { [high, low] });
        let skip = usize::from(number(fixed[3], fixed[2]));
        let gain = number(fixed[9], fixed[8]) as i16;
        if fixed[10] == 0 {
            return Self::plain(channels, skip, gain);
        }
        let table = &header[19..];
        let mapping = table.get(2..2 + channels)?.to_vec();
        Some(Self { channels, skip, gain, streams: table[0].into(), coupled: table[1].into(), mapping })
    }

    /// One stream of one or two channels.
    fn plain(channels: usize, skip: usize, gain: i16) -> Option<Self> {
        let mapping = match channels {
            1 => vec![0],
            2 => vec![0, 1],
            _ => return None,
        };
        Some(Self { channels, skip, gain, streams: 1, coupled: channels - 1, mapping })
    }
}

fn damaged(message: impl Into<String>) -> AudioError {
    AudioError::DamagedCodec { codec: CODEC, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_bad_ones_refused() {
        let mono = b"OpusHead\x01\x01\x38\x01\x80\x3e\0\0\0\x01\0";
        let head = Head::parse(mono).expect("a head");
        assert_eq!((head.channels, head.skip, head.gain, head.coupled), (1, 312, 256, 0));
        let mp4 = b"OpusHead\x00\x01\x01\x38\0\0\x3e\x80\x01\0\0";
        assert_eq!(Head::parse(mp4), Some(head));
        let surround = b"OpusHead\x01\x06\0\0\x80\xbb\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05";
        assert_eq!(
            Head::parse(surround).map(|head| (head.streams, head.mapping)),
            Some((4, vec![0, 4, 1, 2, 3, 5]))
        );
        for bad in [&b""[..], b"OpusHead", &mono[..18], &surround[..24], b"OpusHead\x01\0\0\0\0\0\0\0\0\0\0"]
        {
            assert!(Head::parse(bad).is_none(), "{bad:?}");
        }
    }
}
