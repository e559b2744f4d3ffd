//! `generation_config.json`: the special tokens and the lists that steer decoding.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::config::{ModelConfig, StackConfig, incompatible};
use super::forward::AlignmentHead;
use super::vocabulary::Vocabulary;
use crate::error::LoadError;
use crate::{files, generate, languages};

const FILE: &str = files::GENERATION_CONFIG;

/// The rules of decoding that a repository carries. Where it carries none, its tokenizer and `config.json` tell.
pub(super) struct GenerationConfig {
    /// What every model that generates has: beams, lengths, penalties. The suppressed tokens are below.
    pub(super) common: generate::GenerationConfig,
    /// The token that every decoder input starts with.
    pub(super) start: u32,
    /// The token that ends a text. Text tokens are those below it.
    pub(super) end: u32,
    /// The token of "no timestamps". Timestamp tokens are those above it.
    pub(super) no_timestamps: u32,
    /// The token before the text of earlier windows, where the tokenizer has one.
    pub(super) previous: Option<u32>,
    /// What a multilingual model knows; `None` for an English-only one.
    pub(super) multilingual: Option<Multilingual>,
    /// Tokens never chosen.
    pub(super) suppress: Vec<u32>,
    /// Tokens never chosen first.
    pub(super) begin_suppress: Vec<u32>,
    /// The highest timestamp, in steps of 20 ms, that a window may start with.
    pub(super) max_initial_timestamp_index: Option<u32>,
    /// Longest sequence of decoder tokens, before the prompt is added to it.
    pub(super) max_length: usize,
    /// The cross-attention heads by which words are placed in time; none where the repository names none.
    pub(super) alignment_heads: Vec<AlignmentHead>,
}

/// The language and task tokens of a multilingual model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Multilingual {
    /// Language code to token.
    pub(super) languages: BTreeMap<String, u32>,
    /// The token of "write what is said".
    pub(super) transcribe: u32,
    /// The token of "translate into English".
    pub(super) translate: u32,
}

/// What Whisper's file has beyond that of other models.
#[derive(Deserialize, Default)]
struct RawGeneration {
    no_timestamps_token_id: Option<u32>,
    prev_sot_token_id: Option<u32>,
    is_multilingual: Option<bool>,
    lang_to_id: Option<BTreeMap<String, u32>>,
    task_to_id: Option<BTreeMap<String, u32>>,
    max_initial_timestamp_index: Option<u32>,
    alignment_heads: Option<Vec<(usize, usize)>>,
}

/// The smallest vocabulary of a multilingual OpenAI model; the English-only ones have one token less.
const MULTILINGUAL_VOCABULARY: usize = 51_865;

impl GenerationConfig {
    /// Reads a repository's settings and checks them against the model and its tokenizer.
    ///
    /// # Errors
    /// [`LoadError`] naming the field that is absent everywhere or outside the vocabulary.
    pub(super) fn read(
        folder: &Path,
        model: &ModelConfig,
        vocabulary: &Vocabulary,
    ) -> Result<Self, LoadError> {
        let raw = files::read_optional_json::<RawGeneration>(folder, FILE)?.unwrap_or_default();
        let mut common = generate::GenerationConfig::parse(
            &files::read_capped(folder, files::CONFIG)?,
            files::read_optional(folder, FILE)?.as_deref(),
        )?;
        let known = |field: &str, id: Option<u32>, token: &str| match id.or_else(|| vocabulary.id(token)) {
            Some(id) if (id as usize) < model.vocab_size => Ok(id),
            Some(id) => Err(outside(field, id, model)),
            None => Err(incompatible(FILE, field, format!("is absent, and the tokenizer has no {token}"))),
        };
        let start = known("decoder_start_token_id", common.decoder_start_token_id, "<|startoftranscript|>")?;
        let end = known("eos_token_id", common.eos_token_id.first().copied(), "<|endoftext|>")?;
        let no_timestamps = known("no_timestamps_token_id", raw.no_timestamps_token_id, "<|notimestamps|>")?;
        if no_timestamps == 0 {
            return Err(incompatible(
                FILE,
                "no_timestamps_token_id",
                "is 0; the token of no speech stands before it",
            ));
        }
        common.eos_token_id = vec![end];
        let suppress = common.suppress_tokens.take().or_else(|| model.defaults.suppress_tokens.clone());
        let begin_suppress =
            common.begin_suppress_tokens.take().or_else(|| model.defaults.begin_suppress_tokens.clone());
        Ok(Self {
            start,
            end,
            no_timestamps,
            previous: raw.prev_sot_token_id.or_else(|| vocabulary.id("<|startofprev|>")),
            multilingual: multilingual(
                raw.is_multilingual,
                raw.lang_to_id,
                raw.task_to_id,
                model,
                vocabulary,
            )?,
            suppress: within("suppress_tokens", suppress, model)?,
            begin_suppress: within("begin_suppress_tokens", begin_suppress, model)?,
            max_initial_timestamp_index: raw.max_initial_timestamp_index,
            // transformers' own default is 20; every Whisper repository means its positions.
            max_length: common.max_length.unwrap_or(model.max_target_positions),
            alignment_heads: alignment_heads(raw.alignment_heads.unwrap_or_default(), model)?,
            common,
        })
    }

    /// The first timestamp token, that of 0.00 s.
    pub(super) fn first_timestamp(&self) -> u32 {
        self.no_timestamps + 1
    }

    /// The token of "no speech", which stands before that of "no timestamps" in every Whisper vocabulary.
    pub(super) fn no_speech(&self) -> u32 {
        self.no_timestamps - 1
    }
}

fn multilingual(
    is_multilingual: Option<bool>,
    languages: Option<BTreeMap<String, u32>>,
    tasks: Option<BTreeMap<String, u32>>,
    model: &ModelConfig,
    vocabulary: &Vocabulary,
) -> Result<Option<Multilingual>, LoadError> {
    if !is_multilingual.unwrap_or(model.vocab_size >= MULTILINGUAL_VOCABULARY) {
        return Ok(None);
    }
    let languages: BTreeMap<String, u32> = match languages {
        Some(map) => map
            .into_iter()
            .map(|(token, id)| (token.trim_start_matches("<|").trim_end_matches("|>").to_owned(), id))
            .collect(),
        None => languages::all()
            .filter_map(|language| {
                vocabulary.id(&format!("<|{}|>", language.code)).map(|id| (language.code.to_owned(), id))
            })
            .collect(),
    };
    if languages.is_empty() {
        return Err(incompatible(FILE, "lang_to_id", "is empty, though the model is multilingual"));
    }
    if let Some(&id) = languages.values().find(|id| **id as usize >= model.vocab_size) {
        return Err(outside("lang_to_id", id, model));
    }
    let task = |name: &str| {
        let id = tasks.as_ref().and_then(|tasks| tasks.get(name).copied());
        match id.or_else(|| vocabulary.id(&format!("<|{name}|>"))) {
            Some(id) if (id as usize) < model.vocab_size => Ok(id),
            Some(id) => Err(outside("task_to_id", id, model)),
            None => Err(incompatible(FILE, "task_to_id", format!("has no {name:?}"))),
        }
    };
    Ok(Some(Multilingual { languages, transcribe: task("transcribe")?, translate: task("translate")? }))
}

fn alignment_heads(heads: Vec<(usize, usize)>, model: &ModelConfig) -> Result<Vec<AlignmentHead>, LoadError> {
    let StackConfig { layers, heads: width, .. } = model.decoder;
    if let Some((layer, head)) = heads.iter().find(|(layer, head)| *layer >= layers || *head >= width) {
        return Err(incompatible(
            FILE,
            "alignment_heads",
            format!("holds [{layer}, {head}]; the decoder has {layers} layers of {width} heads"),
        ));
    }
    Ok(heads.into_iter().map(|(layer, head)| AlignmentHead { layer, head }).collect())
}

fn within(field: &str, tokens: Option<Vec<u32>>, model: &ModelConfig) -> Result<Vec<u32>, LoadError> {
    let tokens = tokens.unwrap_or_default();
    match tokens.iter().find(|token| **token as usize >= model.vocab_size) {
        Some(&token) => Err(outside(field, token, model)),
        None => Ok(tokens),
    }
}

fn outside(field: &str, id: u32, model: &ModelConfig) -> LoadError {
    incompatible(FILE, field, format!("holds {id}; the vocabulary has {} tokens", model.vocab_size))
}
