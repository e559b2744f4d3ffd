//! Leaf types: who runs, how, and what came out.

/// A program that answers [`crate::protocol::Request`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// This program, with Ostler's engines in it.
    Ostler,
    /// CTranslate2's Whisper.
    Ctranslate2Whisper,
    /// CTranslate2's translator.
    Ctranslate2Marian,
    /// faster-whisper's batched pipeline over CTranslate2.
    FasterWhisper,
    /// Whisper written out in torch operations.
    TorchWhisper,
    /// whisper.cpp.
    WhisperCpp,
}

/// What a contender is in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Ostler.
    Ostler,
    /// One of those whose best the row is measured against.
    Peer,
    /// Somebody whose figure is of interest but who does not decide.
    Shown,
}

/// Which of the prepared models a contender loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// whisper-base as the Hub has it, with its own settings.
    WhisperBase,
    /// whisper-base with settings that make every text exactly 64 tokens long.
    WhisperBaseFixed,
    /// A MarianMT of opus-mt's size, with settings that make every text exactly 25 tokens long.
    Marian,
    /// CTranslate2's file of whisper-base, converted without rounding.
    Ctranslate2Whisper,
    /// The same, rounded to int8 when it was converted.
    Ctranslate2WhisperInt8,
    /// CTranslate2's file of the MarianMT, converted without rounding.
    Ctranslate2Marian,
    /// The same, rounded to int8 when it was converted.
    Ctranslate2MarianInt8,
    /// whisper.cpp's file of whisper-base in 8-bit blocks.
    WhisperCpp8Bit,
}

/// One program at one setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// What it is called in the report.
    pub name: String,
    /// What it is in its row.
    pub side: Side,
    /// What runs.
    pub program: Program,
    /// What it loads.
    pub model: Model,
    /// The number format that it is asked to compute in.
    pub dtype: &'static str,
    /// Threads for one piece of work.
    pub threads: usize,
    /// Pieces of work at once.
    pub workers: usize,
    /// Texts or windows in one batch.
    pub batch: usize,
    /// The instructions that it is kept to, by Ostler's name for them.
    pub instructions: Option<&'static str>,
    /// Whether it keeps packed weights and loads from them.
    pub packed: bool,
}

/// What became of a contender.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was measured.
    Measured(Measured),
    /// It did not install, or refused or failed to do the work: why.
    Absent(String),
}

/// What a contender did.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Who it says it is.
    pub engine: String,
    /// The seconds of each repetition.
    pub seconds: Vec<f64>,
    /// The texts of the last one.
    pub texts: Vec<String>,
    /// The tokens of the last one.
    pub tokens: Vec<Vec<u32>>,
    /// Memory, where the row is about that.
    pub memory: Option<Anonymous>,
}

/// Bytes of anonymous memory beyond what the process had before the model was loaded: the interpreter and libraries of
/// a peer are not the model's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Anonymous {
    /// The most while it was loaded.
    pub peak: u64,
    /// After it was loaded and had done one piece of work.
    pub steady: u64,
}
