//! Why a file gave no samples.

/// What is wrong with an audio file.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// There are no bytes.
    #[error("the audio file is empty")]
    Empty,
    /// Nothing in the file looks like a container that is known.
    #[error("the audio is in no known container; send flac, mp3, mp4, mpeg, mpga, m4a, ogg, wav or webm")]
    UnknownContainer,
    /// The container was recognised and then made no sense.
    #[error("the {container} container is damaged: {message}")]
    DamagedContainer {
        /// The container's short name.
        container: &'static str,
        /// What the reader found.
        message: String,
    },
    /// The container holds no sound.
    #[error("the {container} container holds no audio track")]
    NoTrack {
        /// The container's short name.
        container: &'static str,
    },
    /// The sound is in a codec that cannot be decoded here.
    #[error(
        "the {container} container holds {codec}, which is not supported; send AAC-LC, ALAC, FLAC, MP3, Opus, PCM or Vorbis"
    )]
    UnsupportedCodec {
        /// The container's short name.
        container: &'static str,
        /// The codec's name, or its number where it has none.
        codec: String,
    },
    /// The codec's header or data made no sense.
    #[error("the {codec} audio is damaged: {message}")]
    DamagedCodec {
        /// The codec's short name.
        codec: &'static str,
        /// What the decoder found.
        message: String,
    },
    /// A sample rate that no recording has.
    #[error("the audio has {0} samples a second; it must be {least} to {most}", least = Self::LEAST_RATE, most = Self::MOST_RATE)]
    SampleRate(u32),
    /// A number of channels that no recording has.
    #[error("the audio has {0} channels; it must be 1 to {most}", most = Self::MOST_CHANNELS)]
    Channels(usize),
    /// The rate or the channels change within the file.
    #[error("the audio changes its sample rate or channels on the way")]
    ChangingFormat,
    /// A float sample is NaN or infinite.
    #[error("the audio holds samples that are NaN or infinite")]
    NotFinite,
    /// The file decodes to more than the limit.
    #[error("the audio is longer than the limit of {max_seconds} s; split it")]
    TooLong {
        /// The limit in seconds.
        max_seconds: f64,
    },
    /// The file decodes to more numbers than the longest clip needs, at a high rate or on many channels.
    #[error("the audio has more than {most} samples over all channels; send a lower rate or fewer channels")]
    TooManySamples {
        /// The limit.
        most: u64,
    },
    /// The file is well-formed and silent in the strict sense: it has no samples.
    #[error("the audio has no samples")]
    NoSamples,
    /// The resampler refused the rates.
    #[error("the audio cannot be brought to 16 kHz: {0}")]
    Resample(String),
    /// A decoder ran into a bug.
    #[error("a decoder failed on this audio")]
    Panicked,
    /// Nobody waits for the samples any more.
    #[error("the decoding was cancelled")]
    Cancelled,
}

impl AudioError {
    /// Below this is no sound; the resampler's tables grow with the ratio of the rates.
    pub(super) const LEAST_RATE: u32 = 1_000;
    /// The fastest converters sample at this rate.
    pub(super) const MOST_RATE: u32 = 768_000;
    /// More channels than any recording has.
    pub(super) const MOST_CHANNELS: usize = 64;
    /// The numbers of a second of the longest clip, over all channels: stereo at 48 kHz.
    pub(super) const NUMBERS_PER_SECOND: f64 = 96_000.0;
    /// Short clips may be in as many numbers as one of so many seconds, so that those on many channels are heard too.
    pub(super) const SECONDS_OF_NUMBERS: f64 = 600.0;

    /// One word for answers and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty | Self::NoSamples => "EmptyAudio",
            Self::UnknownContainer => "UnknownContainer",
            Self::DamagedContainer { .. } | Self::DamagedCodec { .. } | Self::Panicked => "DamagedAudio",
            Self::NoTrack { .. } => "NoAudioTrack",
            Self::UnsupportedCodec { .. } => "UnsupportedCodec",
            Self::SampleRate(_) | Self::Channels(_) | Self::ChangingFormat | Self::Resample(_) => {
                "UnsupportedFormat"
            }
            Self::NotFinite => "InvalidSamples",
            Self::TooLong { .. } => "AudioTooLong",
            Self::TooManySamples { .. } => "TooManySamples",
            Self::Cancelled => "Cancelled",
        }
    }
}
