//! Sentence encoders: texts into vectors whose angles say how alike the texts are, across languages too (LaBSE,
//! multilingual MiniLM and other BERT and XLM-R repositories of sentence-transformers).
//!
//! What is right is what sentence-transformers computes on the same weights in float32. A transformer gives each
//! token a state, [`pooling`] makes one vector of them, and the repository's other modules change that vector.

mod dense;
mod modules;
mod pooling;
mod settings;
mod similarity;
mod transformer;

use std::path::Path;

use dense::Dense;
use modules::{Stack, Step};
use pooling::Pooling;
use settings::Settings;
pub use similarity::{cosine_similarity, scale_to_one};

use crate::encoder::{Architecture, Computation, Config, MAX_BATCH_TOKENS, Network, Tokens, in_batches};
use crate::engine::{Control, EmbedJob, Embeddings, Engine, EngineError, Job, Output};
use crate::error::LoadError;
use crate::files;
use crate::footprint::Footprint;
use crate::weights::{self, Purpose, Source, Usage};

/// A loaded sentence encoder.
pub struct SentenceEncoder {
    tokens: Tokens,
    /// What stands in front of every text.
    prompt: String,
    transformer: Network,
    pooling: Pooling,
    layers: Vec<Layer>,
    /// The numbers of a vector.
    width: usize,
}

/// What happens to a pooled vector.
enum Layer {
    Dense(Dense),
    Normalize,
}

/// Measures a sentence encoder from its configs and the headers of its weights.
///
/// # Errors
/// As [`load`], but for what only the weights' numbers show.
pub fn inspect(
    source: &Source<'_>,
    architecture: Architecture,
    computation: &Computation,
) -> Result<Footprint, LoadError> {
    let (encoder, usage) = assemble(source, architecture, computation, Purpose::Measure)?;
    let longest = encoder.tokens.longest();
    let scratch = encoder.transformer.scratch_bytes(MAX_BATCH_TOKENS.max(longest), longest);
    Ok(Footprint::new(usage, scratch))
}

/// Loads a sentence encoder.
///
/// # Errors
/// Where a file is missing or damaged, or asks for what there is no code for.
pub fn load(
    source: &Source<'_>,
    architecture: Architecture,
    computation: &Computation,
    purpose: Purpose,
) -> Result<SentenceEncoder, LoadError> {
    assemble(source, architecture, computation, purpose).map(|(encoder, _)| encoder)
}

fn assemble(
    source: &Source<'_>,
    architecture: Architecture,
    computation: &Computation,
    purpose: Purpose,
) -> Result<(SentenceEncoder, Usage), LoadError> {
    let folder = source.folder;
    let config = Config::read(folder, architecture)?;
    let stack = match files::read_optional(folder, files::MODULES)? {
        Some(json) => modules::parse(&json)?,
        None => Stack { pooling: None, steps: Vec::new() },
    };
    let Settings { longest, lowercase, prompt } = Settings::read(folder)?;
    let longest = longest.unwrap_or(config.max_tokens());
    let tokens = Tokens::read(folder, &config, longest, lowercase)?;
    let pooling = read_pooling(folder, stack.pooling.as_deref(), &prompt, config.width())?;
    let mut width = pooling.width(config.width());
    let (transformer, mut usage) =
        weights::assemble(source, purpose, transformer::is_ignorable, |weights| {
            transformer::load(weights, config.clone(), computation.clone())
        })?;
    let mut layers = Vec::with_capacity(stack.steps.len());
    for step in stack.steps {
        layers.push(match step {
            Step::Normalize(name) => {
                settings::check_normalize(folder, &name)?;
                Layer::Normalize
            }
            Step::Dense(name) => {
                let (dense, more) = Dense::load(source, &name, width, purpose)?;
                width = dense.outputs();
                usage.resident_bytes = usage.resident_bytes.saturating_add(more.resident_bytes);
                usage.transient_bytes = usage.transient_bytes.max(more.transient_bytes);
                Layer::Dense(dense)
            }
        });
    }
    Ok((SentenceEncoder { tokens, prompt, transformer, pooling, layers, width }, usage))
}

fn read_pooling(folder: &Path, name: Option<&str>, prompt: &str, width: usize) -> Result<Pooling, LoadError> {
    let Some(name) = name else { return Ok(Pooling::mean()) };
    let file = format!("{name}/{}", files::CONFIG);
    let pooling = Pooling::parse(&files::read_capped(folder, &file)?, &file, width)?;
    if !prompt.is_empty() && !pooling.include_prompt {
        let message = format!("{file}: include_prompt is false, and leaving out a prompt is not supported");
        return Err(LoadError::Incompatible(message));
    }
    Ok(pooling)
}

impl SentenceEncoder {
    fn embed(&self, job: &EmbedJob, control: &Control) -> Result<Embeddings, EngineError> {
        if let Some(dimensions) = job.dimensions.filter(|dimensions| !(1..=self.width).contains(dimensions)) {
            let message = format!("is {dimensions}, this model's vectors have 1 to {} numbers", self.width);
            return Err(EngineError::InvalidInput { parameter: "dimensions", message });
        }
        let texts = match self.prompt.as_str() {
            "" => self.tokens.of_all(&job.texts, control)?,
            prompt => {
                let prompted: Vec<String> = job.texts.iter().map(|text| format!("{prompt}{text}")).collect();
                self.tokens.of_all(&prompted, control)?
            }
        };
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in in_batches(&lengths) {
            let texts: Vec<&[u32]> = texts[batch].iter().map(Vec::as_slice).collect();
            vectors.extend(self.vectors(&texts, control)?);
        }
        if let Some(dimensions) = job.dimensions {
            for vector in &mut vectors {
                vector.truncate(dimensions);
                scale_to_one(vector);
            }
        }
        Ok(Embeddings { vectors, tokens: lengths })
    }

    /// The vectors of texts of at least one token each, which are computed together.
    fn vectors(&self, texts: &[&[u32]], control: &Control) -> Result<Vec<Vec<f32>>, EngineError> {
        let states = self.transformer.states(texts, control)?;
        let width = self.transformer.config().width();
        let mut rest = states.as_slice();
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            let (own, others) = rest.split_at(text.len() * width);
            rest = others;
            vectors.push(self.pooling.pool(own, width));
        }
        for layer in &self.layers {
            match layer {
                Layer::Dense(dense) => vectors = dense.forward(&vectors),
                Layer::Normalize => vectors.iter_mut().for_each(|vector| scale_to_one(vector)),
            }
        }
        let are_finite = vectors.iter().flatten().all(|number| number.is_finite());
        if are_finite { Ok(vectors) } else { Err(EngineError::NotFinite("an embedding")) }
    }
}

impl Engine for SentenceEncoder {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        match job {
            Job::Embed(job) => self.embed(job, control).map(Output::Embeddings),
            other => Err(EngineError::WrongTask(other.verb())),
        }
    }

    fn canary(&self) -> Result<(), EngineError> {
        let job = EmbedJob { texts: vec!["1".to_owned()], dimensions: None };
        self.embed(&job, &Control::default()).map(drop)
    }
}

#[cfg(test)]
mod tests;
