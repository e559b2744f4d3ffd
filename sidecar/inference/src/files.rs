//! Which files of a repository a task needs, and how the small ones are read.

pub(crate) mod shards;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ostler_crds::names::Task;
use serde::de::DeserializeOwned;

use self::shards::Shards;
use crate::error::LoadError;

/// All weights in one safetensors file.
pub const SINGLE_SAFETENSORS: &str = "model.safetensors";
/// The list of the shards that hold the weights together.
pub const SAFETENSORS_INDEX: &str = shards::SAFETENSORS.index;
/// All weights in one pickle.
pub const SINGLE_PICKLE: &str = "pytorch_model.bin";
/// Which pickle of several has which tensor.
pub const PICKLE_INDEX: &str = shards::PICKLES.index;
/// The files that weights are found by.
const WEIGHTS: [&str; 4] = [SINGLE_SAFETENSORS, SAFETENSORS_INDEX, SINGLE_PICKLE, PICKLE_INDEX];
/// What files in GGUF end with.
const GGUF_ENDING: &str = ".gguf";
/// The architecture's dimensions and switches.
pub const CONFIG: &str = "config.json";
/// How to generate; `config.json` says it in older repositories.
pub const GENERATION_CONFIG: &str = "generation_config.json";
/// A whole tokenizer in one file.
pub const TOKENIZER: &str = "tokenizer.json";
/// What transformers' tokenizer class is made with.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Marian: the sentencepiece model of the source language.
pub const SOURCE_SENTENCEPIECE: &str = "source.spm";
/// Marian: the sentencepiece model of the target language.
pub const TARGET_SENTENCEPIECE: &str = "target.spm";
/// mBART-50, M2M100 and NLLB: the sentencepiece model of all languages.
pub const SENTENCEPIECE: &str = "sentencepiece.bpe.model";
/// Marian: the numbers of the pieces, of both languages or of the source. M2M100: of all.
pub const VOCABULARY: &str = "vocab.json";
/// Marian: the numbers of the target's pieces, where they are apart.
pub const TARGET_VOCABULARY: &str = "target_vocab.json";

/// The list of a sentence encoder's modules, as sentence-transformers writes it.
pub const MODULES: &str = "modules.json";
/// How the transformer of a sentence encoder reads texts, by the names that the releases of sentence-transformers gave
/// it.
pub const SENTENCE_CONFIGS: [&str; 4] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_camembert_config.json",
];
/// The prompts of a sentence encoder.
pub const SENTENCE_PROMPTS: &str = "config_sentence_transformers.json";
/// The names of a fastText model, which is one file, the better ones first: those with every number before those
/// that keep codes of them (`.ftz`).
pub const FASTTEXT_MODELS: [&str; 5] =
    ["model.bin", "lid.176.bin", "lid218e.bin", "model.ftz", "lid.176.ftz"];

/// The fastText model among the files of a repository; `None` where it holds a model of transformers, or neither.
#[must_use]
pub fn fasttext_model(is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
    let is_of_transformers =
        [SINGLE_SAFETENSORS, SAFETENSORS_INDEX, SINGLE_PICKLE, TOKENIZER].into_iter().any(&is_there);
    if is_of_transformers { None } else { FASTTEXT_MODELS.into_iter().find(|name| is_there(name)) }
}

/// The files beside the weights: what must be there and what is taken where it is.
struct Companions {
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

/// What a repository for translation has beside [`CONFIG`]: Marian's two sentencepiece models, or one tokenizer for
/// all languages.
fn translation_companions(is_there: impl Fn(&str) -> bool) -> Companions {
    const MARIAN: Companions = Companions {
        required: &[CONFIG, SOURCE_SENTENCEPIECE, TARGET_SENTENCEPIECE, VOCABULARY],
        optional: &[GENERATION_CONFIG, TOKENIZER_CONFIG, TARGET_VOCABULARY, "special_tokens_map.json"],
    };
    const TOGETHER: Companions = Companions {
        required: &[CONFIG],
        optional: &[
            SENTENCEPIECE,
            TOKENIZER,
            VOCABULARY,
            GENERATION_CONFIG,
            TOKENIZER_CONFIG,
            "special_tokens_map.json",
        ],
    };
    let is_marian = is_there(SOURCE_SENTENCEPIECE) || is_there(TARGET_SENTENCEPIECE);
    if !is_marian && (is_there(SENTENCEPIECE) || is_there(TOKENIZER)) { TOGETHER } else { MARIAN }
}

fn companions(task: Task, is_there: impl Fn(&str) -> bool) -> Companions {
    match task {
        Task::AutomaticSpeechRecognition => Companions {
            required: &[CONFIG, TOKENIZER],
            optional: &[
                GENERATION_CONFIG,
                "preprocessor_config.json",
                TOKENIZER_CONFIG,
                "special_tokens_map.json",
                "added_tokens.json",
                "normalizer.json",
            ],
        },
        Task::Translation => translation_companions(is_there),
        Task::TextClassification => Companions {
            required: &[CONFIG, TOKENIZER],
            optional: &[TOKENIZER_CONFIG, "special_tokens_map.json"],
        },
        Task::FeatureExtraction | Task::SentenceSimilarity => Companions {
            required: &[CONFIG, TOKENIZER],
            optional: &[
                TOKENIZER_CONFIG,
                "special_tokens_map.json",
                MODULES,
                SENTENCE_PROMPTS,
                SENTENCE_CONFIGS[0],
                SENTENCE_CONFIGS[1],
                SENTENCE_CONFIGS[2],
                SENTENCE_CONFIGS[3],
            ],
        },
    }
}

/// The most bytes that a file beside the weights may have, four times what the largest published one needs.
#[must_use]
pub fn max_bytes(name: &str) -> u64 {
    match name {
        TOKENIZER => 64 << 20,
        SOURCE_SENTENCEPIECE | TARGET_SENTENCEPIECE | SENTENCEPIECE => 16 << 20,
        VOCABULARY | TARGET_VOCABULARY => 16 << 20,
        SAFETENSORS_INDEX | PICKLE_INDEX => 16 << 20,
        _ => 4 << 20,
    }
}

/// Chooses from the listing of a repository (name and bytes of each file) those that the task needs, sorted:
/// safetensors rather than a pickle, which is taken only where `allow_pickle` says so; never the weights of
/// other frameworks, and a folder's files only where they are a module of a sentence encoder. A fastText model is one
/// file.
///
/// # Errors
/// [`LoadError::MissingFile`] names what the repository lacks, [`LoadError::Unsafe`] a pickle that is not
/// allowed, [`LoadError::Incompatible`] weights in a format that is not read, [`LoadError::Corrupted`] a file beyond
/// [`max_bytes`].
pub fn select(task: Task, files: &[(String, u64)], allow_pickle: bool) -> Result<Vec<String>, LoadError> {
    let is_there = |name: &str| files.iter().any(|(file, _)| file == name);
    if task == Task::TextClassification
        && let Some(name) = fasttext_model(is_there)
    {
        return Ok(vec![name.to_owned()]);
    }
    if !WEIGHTS.iter().any(|name| is_there(name))
        && let Some((name, _)) = files.iter().find(|(name, _)| name.ends_with(GGUF_ENDING))
    {
        return Err(gguf_refused(name));
    }
    let Companions { required, optional } = companions(task, is_there);
    for name in required {
        if !is_there(name) {
            let other = match task {
                Task::Translation => format!(", or {SENTENCEPIECE} or {TOKENIZER} instead"),
                Task::TextClassification => format!(", or a fastText model: {}", FASTTEXT_MODELS.join(", ")),
                _ => String::new(),
            };
            let reason = format!("a repository for {task} has {}{other}", required.join(", "));
            return Err(LoadError::MissingFile { file: (*name).to_owned(), reason });
        }
    }
    let mut selected = select_weights(files, allow_pickle)?;
    let small = required.iter().chain(optional).filter(|name| is_there(name)).map(|name| (*name).to_owned());
    selected.extend(small);
    if Task::EMBEDDING.contains(&task) && is_there(MODULES) {
        selected.extend(select_modules(files, allow_pickle)?);
    }
    for name in &selected {
        let own = name.rsplit('/').next().unwrap_or(name);
        let is_shard = shards::SAFETENSORS.is_one(own) || shards::PICKLES.is_one(own);
        let is_weights = is_shard || own == SINGLE_SAFETENSORS || own == SINGLE_PICKLE;
        let size = files.iter().find(|(file, _)| file == name).map_or(0, |(_, size)| *size);
        if !is_weights && size > max_bytes(name) {
            return Err(too_large(name, size));
        }
    }
    selected.sort();
    Ok(selected)
}

/// The configs and weights of the modules of a sentence encoder, each in a folder such as `2_Dense`.
fn select_modules(files: &[(String, u64)], allow_pickle: bool) -> Result<Vec<String>, LoadError> {
    let is_module = |folder: &str| {
        folder.split_once('_').is_some_and(|(number, name)| {
            (1..=2).contains(&number.len())
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    };
    let in_modules = files.iter().filter_map(|(path, _)| path.split_once('/'));
    let mut modules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (folder, name) in in_modules.filter(|(folder, _)| is_module(folder)) {
        modules.entry(folder).or_default().push(name);
    }
    let mut selected = Vec::new();
    for (folder, names) in modules {
        let mut select = |name: &str| selected.push(format!("{folder}/{name}"));
        if names.contains(&CONFIG) {
            select(CONFIG);
        }
        if names.contains(&SINGLE_SAFETENSORS) {
            select(SINGLE_SAFETENSORS);
        } else if names.contains(&SINGLE_PICKLE) {
            if !allow_pickle {
                return Err(pickle_refused(&format!("{folder}/{SINGLE_PICKLE}")));
            }
            select(SINGLE_PICKLE);
        }
    }
    Ok(selected)
}

fn pickle_refused(file: &str) -> LoadError {
    let message = "pickles are turned off here, and the repository has no safetensors".to_owned();
    LoadError::Unsafe { file: file.to_owned(), message }
}

/// Why weights in GGUF, llama.cpp's format, are not loaded.
pub(crate) fn gguf_refused(file: &str) -> LoadError {
    LoadError::Incompatible(format!(
        "{file}: weights in GGUF are not read; take a repository with {SINGLE_SAFETENSORS}"
    ))
}

fn select_weights(files: &[(String, u64)], allow_pickle: bool) -> Result<Vec<String>, LoadError> {
    let is_there = |name: &str| files.iter().any(|(file, _)| file == name);
    if is_there(SINGLE_SAFETENSORS) {
        return Ok(vec![SINGLE_SAFETENSORS.to_owned()]);
    }
    if is_there(SAFETENSORS_INDEX) {
        return with_index(shards::SAFETENSORS, files);
    }
    let pickle = [SINGLE_PICKLE, PICKLE_INDEX].into_iter().find(|name| is_there(name));
    match pickle {
        Some(name) if !allow_pickle => return Err(pickle_refused(name)),
        Some(PICKLE_INDEX) => return with_index(shards::PICKLES, files),
        Some(name) => return Ok(vec![name.to_owned()]),
        None => {}
    }
    let others = [SAFETENSORS_INDEX, SINGLE_PICKLE, PICKLE_INDEX].join(", ");
    let reason = format!("the repository has neither it nor one of {others}");
    Err(LoadError::MissingFile { file: SINGLE_SAFETENSORS.to_owned(), reason })
}

/// An index and all its shards.
fn with_index(shards: Shards, files: &[(String, u64)]) -> Result<Vec<String>, LoadError> {
    let names = shards.all(files.iter().map(|(name, _)| name.as_str()))?;
    Ok(std::iter::once(shards.index.to_owned()).chain(names).collect())
}

fn too_large(name: &str, size: u64) -> LoadError {
    LoadError::corrupted(name, format!("it has {size} bytes, at most {} are read", max_bytes(name)))
}

/// Reads a small file of a model's folder, at most [`max_bytes`] of it.
///
/// # Errors
/// Where it is missing, too large or unreadable.
pub fn read_capped(folder: &Path, name: &str) -> Result<Vec<u8>, LoadError> {
    read_optional(folder, name)?.ok_or_else(|| LoadError::MissingFile {
        file: name.to_owned(),
        reason: "the model cannot be put together without it".to_owned(),
    })
}

/// As [`read_capped`], with `None` where the file is not there.
///
/// # Errors
/// Where it is too large or unreadable.
pub fn read_optional(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, LoadError> {
    let io = |source| LoadError::io(name, source);
    let file = match File::open(folder.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(LoadError::corrupted(name, "it is not a regular file"));
    }
    if metadata.len() > max_bytes(name) {
        return Err(too_large(name, metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(max_bytes(name)).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// Reads and parses a JSON file of a model's folder.
///
/// # Errors
/// As [`read_capped`], and where it is not the JSON that is needed: the error names the field.
pub fn read_json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, LoadError> {
    serde_json::from_slice(&read_capped(folder, name)?).map_err(|error| LoadError::corrupted(name, error))
}

/// As [`read_json`], with `None` where the file is not there.
///
/// # Errors
/// As [`read_json`].
pub fn read_optional_json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, LoadError> {
    read_optional(folder, name)?
        .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| LoadError::corrupted(name, error)))
        .transpose()
}

#[cfg(test)]
mod tests;
