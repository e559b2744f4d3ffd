//! The file as a sequence of decoded packets: container, track, codec.

use std::io::{Cursor, ErrorKind};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known as codecs;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::aac;
use super::error::AudioError;
use super::opus::{self, OpusTrack};

/// What a packet's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    /// Samples a second of each channel.
    pub(super) sample_rate: u32,
    /// Channels.
    pub(super) channels: usize,
}

/// An opened file.
pub(super) struct Source<'a> {
    format: Box<dyn FormatReader + 'a>,
    container: &'static str,
    track: Track,
    decoded: u64,
    failed: u64,
    last_failure: Option<AudioError>,
}

struct Track {
    id: u32,
    codec: &'static str,
    decoder: Decoder,
}

enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(OpusTrack),
}

impl<'a> Source<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, AudioError> {
        let stream =
            MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
        let format = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|error| unopened(bytes, &error))?;
        let container = format.format_info().short_name;
        let track = Track::choose(format.as_ref(), container)?;
        Ok(Self { format, container, track, decoded: 0, failed: 0, last_failure: None })
    }

    pub(super) fn container(&self) -> &'static str {
        self.container
    }

    pub(super) fn codec(&self) -> &'static str {
        self.track.codec
    }

    /// Puts the next packet's samples into `interleaved`. `None` at the end of the file.
    ///
    /// A packet that cannot be decoded is left out, as players do: the first ones of a cut MP3 never can. Where
    /// most of them cannot, the file is damaged.
    pub(super) fn next(
        &mut self,
        interleaved: &mut Vec<f32>,
        is_unwanted: &dyn Fn() -> bool,
    ) -> Result<Option<Spec>, AudioError> {
        loop {
            if is_unwanted() {
                return Err(AudioError::Cancelled);
            }
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(),
                // The file was cut off; what it holds is decoded.
                Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => return self.end(),
                // Another stream is chained behind this one.
                Err(Error::ResetRequired) => {
                    self.track = Track::choose(self.format.as_ref(), self.container)?;
                    continue;
                }
                Err(error) => {
                    return Err(AudioError::DamagedContainer {
                        container: self.container,
                        message: error.to_string(),
                    });
                }
            };
            if packet.track_id != self.track.id {
                continue;
            }
            interleaved.clear();
            match self.track.decode(&packet, interleaved) {
                Ok(spec) => {
                    self.decoded += 1;
                    if !interleaved.is_empty() {
                        return Ok(Some(spec));
                    }
                }
                Err(error) => {
                    self.failed += 1;
                    self.last_failure = Some(error);
                }
            }
        }
    }

    fn end(&mut self) -> Result<Option<Spec>, AudioError> {
        match self.last_failure.take() {
            Some(error) if self.failed > self.decoded => Err(error),
            _ => Ok(None),
        }
    }
}

impl Track {
    fn choose(format: &dyn FormatReader, container: &'static str) -> Result<Self, AudioError> {
        let track = format.default_track(TrackType::Audio).ok_or_else(|| {
            // A track of a codec that the container's reader does not know has no parameters at all.
            if format.tracks().iter().any(|track| track.codec_params.is_none()) {
                AudioError::UnsupportedCodec { container, codec: "an unknown codec".to_owned() }
            } else {
                AudioError::NoTrack { container }
            }
        })?;
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(AudioError::NoTrack { container });
        };
        if let Some(0) = parameters.sample_rate {
            return Err(AudioError::SampleRate(0));
        }
        if parameters.codec == codecs::CODEC_ID_OPUS {
            let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
            let decoder = OpusTrack::new(parameters.extra_data.as_deref(), channels)?;
            return Ok(Self { id: track.id, codec: "opus", decoder: Decoder::Opus(decoder) });
        }
        let unsupported = |codec: String| AudioError::UnsupportedCodec { container, codec };
        let registry = symphonia::default::get_codecs();
        let Some(registered) = registry.get_audio_decoder(parameters.codec) else {
            return Err(unsupported(unsupported_name(parameters.codec)));
        };
        let codec = registered.codec.info.short_name;
        let decoder = registry
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|error| refused(parameters, container, codec, &error))?;
        Ok(Self { id: track.id, codec, decoder: Decoder::Symphonia(decoder) })
    }

    fn decode(&mut self, packet: &Packet, interleaved: &mut Vec<f32>) -> Result<Spec, AudioError> {
        match &mut self.decoder {
            Decoder::Opus(track) => {
                track.decode(&packet.data, packet.trim_end.get() as usize, interleaved)?;
                Ok(Spec { sample_rate: opus::RATE, channels: track.channels() })
            }
            Decoder::Symphonia(decoder) => {
                let audio = decoder.decode(packet).map_err(|error| AudioError::DamagedCodec {
                    codec: self.codec,
                    message: error.to_string(),
                })?;
                audio.copy_to_vec_interleaved(interleaved);
                Ok(Spec { sample_rate: audio.spec().rate(), channels: audio.spec().channels().count() })
            }
        }
    }
}

/// Why a file could not be opened. A container's first bytes tell it where its reader gave up without a name.
fn unopened(bytes: &[u8], error: &Error) -> AudioError {
    let Some(container) = container_by_magic(bytes) else {
        return AudioError::UnknownContainer;
    };
    let unsupported = |codec: &str| AudioError::UnsupportedCodec { container, codec: codec.to_owned() };
    match error {
        // The first page's packet starts with the codec's name; without a stream that it knows, the reader of Ogg
        // looks for one until the end.
        _ if bytes.get(28..36) == Some(b"Speex   ") => unsupported("Speex"),
        Error::Unsupported(_) => unsupported("an unknown codec"),
        other => AudioError::DamagedContainer { container, message: other.to_string() },
    }
}

fn container_by_magic(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'O', b'g', b'g', b'S', ..] => Some("ogg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some("wave"),
        [b'f', b'L', b'a', b'C', ..] => Some("flac"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("matroska"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("isomp4"),
        _ => None,
    }
}

/// Why a codec that is known refused a track.
fn refused(
    parameters: &AudioCodecParameters,
    container: &'static str,
    codec: &'static str,
    error: &Error,
) -> AudioError {
    let kind = match (&parameters.extra_data, parameters.codec) {
        (Some(config), codecs::CODEC_ID_AAC) => aac::unsupported_kind(config),
        _ => None,
    };
    match (kind, error) {
        (Some(kind), _) => AudioError::UnsupportedCodec { container, codec: kind.to_owned() },
        (None, Error::Unsupported(what)) => {
            AudioError::UnsupportedCodec { container, codec: format!("{codec} ({what})") }
        }
        (None, other) => AudioError::DamagedCodec { codec, message: other.to_string() },
    }
}

/// The names of codecs that containers announce and nothing here decodes.
fn unsupported_name(codec: AudioCodecId) -> String {
    let names = [
        (codecs::CODEC_ID_AC3, "AC-3"),
        (codecs::CODEC_ID_EAC3, "E-AC-3"),
        (codecs::CODEC_ID_AC4, "AC-4"),
        (codecs::CODEC_ID_DCA, "DTS"),
        (codecs::CODEC_ID_SPEEX, "Speex"),
        (codecs::CODEC_ID_MUSEPACK, "Musepack"),
        (codecs::CODEC_ID_WMA, "Windows Media Audio"),
    ];
    names
        .iter()
        .find(|(known, _)| *known == codec)
        .map_or_else(|| format!("the codec {codec}"), |(_, name)| (*name).to_owned())
}
