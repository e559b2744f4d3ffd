//! The narrow waist of the crate: jobs in, outputs out, on the calling thread.

mod control;

use std::sync::Arc;

pub use ostler_crds::names::LongForm;

pub use self::control::{Control, JobProgress};

/// A loaded model. It is shared by its instances: one copy of the weights, any number of callers.
pub trait Engine: Send + Sync {
    /// Works on one job until it is done, refused or cancelled.
    ///
    /// # Errors
    /// See [`EngineError`]. A failed job leaves the engine usable.
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError>;

    /// A tiny job with a known shape of answer, run once after loading: it proves that the weights compute
    /// finite numbers before the version takes traffic.
    ///
    /// # Errors
    /// [`EngineError::NotFinite`] where weights or outputs are NaN or infinite.
    fn canary(&self) -> Result<(), EngineError>;

    /// The languages that a model for translation knows by itself; `None` where it does not say.
    fn spoken_languages(&self) -> Option<SpokenLanguages> {
        None
    }
}

/// The languages of a model for translation. Every source can be translated into every target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpokenLanguages {
    /// What texts may be in: the shortest code that the model takes for each (`de`, `zh-hant`, `ace_Arab`).
    pub sources: Vec<String>,
    /// What they can be translated into.
    pub targets: Vec<String>,
}

/// A piece of work.
#[derive(Debug, Clone)]
pub enum Job {
    /// Speech to text.
    Transcribe(TranscribeJob),
    /// Speech to the language that it is in.
    DetectLanguage(DetectLanguageJob),
    /// Text to text.
    Translate(TranslateJob),
    /// Text to labels.
    Classify(ClassifyJob),
    /// Text to vectors.
    Embed(EmbedJob),
}

impl Job {
    /// What the job does, as [`EngineError::WrongTask`] says it: "this model does not `verb`".
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Transcribe(_) => "transcribe speech",
            Self::DetectLanguage(_) => "detect spoken languages",
            Self::Translate(_) => "translate text",
            Self::Classify(_) => "classify text",
            Self::Embed(_) => "embed text",
        }
    }
}

/// Speech whose language is asked for.
#[derive(Debug, Clone)]
pub struct DetectLanguageJob {
    /// Mono samples at 16 kHz, -1.0 to 1.0, of which the first 30 s are listened to.
    pub samples: Arc<[f32]>,
}

/// Speech to text, in its own language or in English.
#[derive(Debug, Clone)]
pub struct TranscribeJob {
    /// Mono samples at 16 kHz, -1.0 to 1.0.
    pub samples: Arc<[f32]>,
    /// The spoken language as Whisper writes it (`de`); detected from the first 30 s where absent.
    pub language: Option<String>,
    /// Translate into English instead of transcribing.
    pub translate: bool,
    /// Decode with timestamp tokens. Without them there is one segment a window.
    pub timestamps: bool,
    /// Text that the first window continues.
    pub prompt: Option<String>,
    /// Show each window the text of the windows before it.
    pub condition_on_previous_text: bool,
    /// Beams to search with; `None` takes `num_beams` of the repository's generation config, else 1.
    pub beams: Option<usize>,
    /// How random the choice of tokens is.
    pub temperature: Temperature,
    /// Find out when each word was spoken.
    pub words: bool,
    /// How often to draw a window's text at a temperature above 0; the most probable of them is kept.
    pub best_of: usize,
    /// How audio of more than one window is cut.
    pub long_form: LongForm,
}

impl TranscribeJob {
    /// A job with what the interfaces take for granted: write what is said, in the language that it is said in, with
    /// timestamps, the temperature ladder and the windows in sequence.
    #[must_use]
    pub fn new(samples: impl Into<Arc<[f32]>>) -> Self {
        Self {
            samples: samples.into(),
            language: None,
            translate: false,
            timestamps: true,
            prompt: None,
            condition_on_previous_text: false,
            beams: None,
            temperature: Temperature::Ladder,
            words: false,
            best_of: 1,
            long_form: LongForm::Sequential,
        }
    }
}

/// How random decoding is, and what happens to a window that came out badly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Temperature {
    /// OpenAI's ladder: 0, and 0.2 more up to 1.0 while a window's text repeats or is improbable.
    Ladder,
    /// This temperature alone; 0 is greedy or beam search as transformers does by default.
    Fixed(f32),
}

/// Texts to translate.
#[derive(Debug, Clone)]
pub struct TranslateJob {
    /// The texts; each answer stands at its text's place.
    pub texts: Vec<String>,
    /// The language of the texts, for models that know several.
    pub source: Option<String>,
    /// The language to translate into, for models that know several.
    pub target: Option<String>,
    /// Beams to search with; `None` takes `num_beams` of the repository's generation config.
    pub beams: Option<usize>,
    /// Split texts into sentences first. Without it an over-long text is an error.
    pub split_sentences: bool,
    /// What the texts are written in.
    pub format: TextFormat,
    /// How many further translations of each text to give, if the search finds as many; it follows at least one
    /// beam more than that.
    pub alternatives: usize,
}

/// What texts are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextFormat {
    /// Nothing but text.
    #[default]
    Plain,
    /// HTML, whose tags stay.
    Html,
}

/// The translation of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// The most probable one that the search found.
    pub text: String,
    /// Others, less and less probable.
    pub alternatives: Vec<String>,
}

/// Texts to label.
#[derive(Debug, Clone)]
pub struct ClassifyJob {
    /// The texts; each answer stands at its text's place.
    pub texts: Vec<String>,
}

/// Texts to turn into vectors whose angles say how alike the texts are.
#[derive(Debug, Clone)]
pub struct EmbedJob {
    /// The texts; each vector stands at its text's place.
    pub texts: Vec<String>,
    /// Keep this many numbers of each vector and scale what is kept to length 1; `None` keeps the vectors as the
    /// model makes them. More than the model's width is an error.
    pub dimensions: Option<usize>,
}

/// What came out of a [`Job`], variant for variant.
#[derive(Debug, Clone)]
pub enum Output {
    /// Of [`Job::Transcribe`].
    Transcript(Transcript),
    /// Of [`Job::DetectLanguage`]: every language that the model knows, as Whisper writes it (`de`), most probable
    /// first. Their probabilities add up to 1.
    Languages(Vec<LabelScore>),
    /// Of [`Job::Translate`]: one text for each.
    Translations(Vec<Translation>),
    /// Of [`Job::Classify`]: for each text every label, most probable first.
    Labels(Vec<Vec<LabelScore>>),
    /// Of [`Job::Embed`].
    Embeddings(Embeddings),
}

/// The vectors of the texts of an [`EmbedJob`].
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// For each text its vector, all of the same length.
    pub vectors: Vec<Vec<f32>>,
    /// For each text the number of tokens that the model read of it, its special ones included.
    pub tokens: Vec<usize>,
}

/// The text of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The whole text, trimmed.
    pub text: String,
    /// The language, given or detected, as Whisper writes it (`de`).
    pub language: String,
    /// Its probability, where it was detected.
    pub language_probability: Option<f32>,
    /// The length of the clip in seconds.
    pub duration_seconds: f64,
    /// The parts with their times.
    pub segments: Vec<Segment>,
}

/// One part of a transcript, with the measures that OpenAI's `verbose_json` carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Its number, from 0.
    pub id: usize,
    /// Where its window starts, in frames of 10 ms.
    pub seek: usize,
    /// Its start in seconds.
    pub start: f64,
    /// Its end in seconds.
    pub end: f64,
    /// Its text, with the leading space that the tokenizer gives it.
    pub text: String,
    /// Its tokens, timestamps included.
    pub tokens: Vec<u32>,
    /// The temperature that its window was decoded with.
    pub temperature: f32,
    /// The mean log probability of its window's tokens.
    pub average_log_probability: f32,
    /// Bytes of its window's text over bytes of the same deflated: high where it repeats.
    pub compression_ratio: f32,
    /// The probability that its window holds no speech.
    pub no_speech_probability: f32,
    /// Its words, where the job asked for them.
    pub words: Vec<Word>,
}

/// A word and when it was spoken.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word with the punctuation at it, without spaces around.
    pub text: String,
    /// Its start in seconds.
    pub start: f64,
    /// Its end in seconds.
    pub end: f64,
}

/// A label and its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelScore {
    /// The label as the repository's `id2label` has it; of a fastText model without its prefix `__label__`; of a spoken
    /// language its code.
    pub label: String,
    /// 0 to 1; all labels of a text add up to 1, as far as rounding (and fastText's own, of 1e-5 a label) lets them.
    pub score: f32,
}

/// Why a job gave no output.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// [`Control::cancel`] was called.
    #[error("the job was cancelled")]
    Cancelled,
    /// The caller must change the job.
    #[error("{parameter}: {message}")]
    InvalidInput {
        /// The field of the job.
        parameter: &'static str,
        /// What is wrong with it and what to write instead.
        message: String,
    },
    /// This engine does not do such jobs.
    #[error("this model does not {0}")]
    WrongTask(&'static str),
    /// The numbers broke down.
    #[error("{0} is not finite: the weights are damaged, or unfit for this number format")]
    NotFinite(&'static str),
    /// A tensor operation failed.
    #[error("the computation failed")]
    Compute(#[from] candle_core::Error),
    /// The tokenizer failed.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
}
