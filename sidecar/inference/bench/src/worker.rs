//! Ostler's side: the same questions answered by the engines themselves.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use ostler_crds::names::{Dtype, Task};
use ostler_inference::engine::{
    Control, Engine, EngineError, Job, LongForm, Output, Temperature, TextFormat, TranscribeJob, TranslateJob,
};
use ostler_inference::error::LoadError;
use ostler_inference::load::{self, LoadOptions, PackedCache, PicklePolicy};
use ostler_inference::processor::{InstructionsError, Processor};

use crate::protocol::{Reply, Request};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("no model was loaded")]
    NothingLoaded,
    #[error("{0:?} is no dtype")]
    Dtype(String),
    #[error("the samples cannot be read")]
    Samples(#[source] io::Error),
    #[error(transparent)]
    Instructions(#[from] InstructionsError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the engine gave another kind of answer")]
    OtherAnswer,
}

/// Answers questions until there are no more.
///
/// # Errors
/// Where the streams fail.
pub fn serve(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut loaded: Option<Loaded> = None;
    for line in input.lines() {
        let reply = match serde_json::from_str(&line?) {
            Ok(request) => answer(&mut loaded, &request).unwrap_or_else(|error| failed(&error)),
            Err(error) => failed(&error),
        };
        serde_json::to_writer(&mut output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// An error with its causes.
fn failed(error: &dyn std::error::Error) -> Reply {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    Reply { error: Some(text), ..Reply::default() }
}

struct Loaded {
    engine: Box<dyn Engine>,
    workers: usize,
}

fn answer(loaded: &mut Option<Loaded>, request: &Request) -> Result<Reply, WorkerError> {
    if let Request::Load { folder, dtype, threads, workers, instructions, packed } = request {
        *loaded = None;
        let packed = packed.as_deref().map(kept);
        let options = LoadOptions { packed, ..options(dtype, *threads, instructions.as_deref())? };
        let start = Instant::now();
        let engine = load::load(folder, task(folder), &options)?;
        let seconds = start.elapsed().as_secs_f64();
        *loaded = Some(Loaded { engine, workers: *workers });
        let engine = format!("Ostler {} {dtype}", env!("CARGO_PKG_VERSION"));
        return Ok(Reply { seconds, engine, ..Reply::default() });
    }
    let Some(Loaded { engine, workers }) = loaded else { return Err(WorkerError::NothingLoaded) };
    match request {
        Request::Load { .. } => Err(WorkerError::NothingLoaded),
        Request::Window { samples, .. } => transcribe(engine.as_ref(), samples, LongForm::Sequential),
        Request::Recording { samples, .. } => transcribe(engine.as_ref(), samples, LongForm::Batched),
        Request::Translate { texts, beams, batch, .. } => {
            translate(engine.as_ref(), texts, *beams, *batch, *workers)
        }
    }
}

fn options(dtype: &str, threads: usize, instructions: Option<&str>) -> Result<LoadOptions, WorkerError> {
    let dtype: Dtype =
        serde_json::from_value(dtype.into()).map_err(|_| WorkerError::Dtype(dtype.to_owned()))?;
    let instructions = instructions.map(str::parse).transpose()?;
    let processor = Processor::new(NonZeroUsize::new(threads), instructions)?;
    Ok(LoadOptions { dtype, pickle: PicklePolicy::Refused, processor: Arc::new(processor), packed: None })
}

/// Packed weights in a folder. The inputs of a run do not change while it lasts, and a copy of others is replaced.
fn kept(folder: &Path) -> PackedCache {
    PackedCache {
        folder: folder.to_owned(),
        revision: "bench".to_owned(),
        check_files: Arc::new(|| Ok(())),
        watch: Arc::new(|_| ()),
    }
}

/// Speech models have a preprocessor, translation models none.
fn task(folder: &Path) -> Task {
    if folder.join("preprocessor_config.json").exists() {
        Task::AutomaticSpeechRecognition
    } else {
        Task::Translation
    }
}

fn transcribe(engine: &dyn Engine, samples: &Path, long_form: LongForm) -> Result<Reply, WorkerError> {
    let bytes = fs::read(samples).map_err(WorkerError::Samples)?;
    let samples: Arc<[f32]> =
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let job = Job::Transcribe(TranscribeJob {
        samples,
        language: Some("en".to_owned()),
        translate: false,
        timestamps: false,
        prompt: None,
        condition_on_previous_text: false,
        beams: Some(1),
        temperature: Temperature::Fixed(0.0),
        words: false,
        best_of: 1,
        long_form,
    });
    let start = Instant::now();
    let output = engine.run(&job, &Control::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let Output::Transcript(transcript) = output else { return Err(WorkerError::OtherAnswer) };
    let tokens = transcript.segments.into_iter().map(|segment| segment.tokens).collect();
    Ok(Reply { seconds, texts: vec![transcript.text], tokens, ..Reply::default() })
}

/// Translates batches, as many at once as there are workers, each on a thread of its own.
fn translate(
    engine: &dyn Engine,
    texts: &[String],
    beams: usize,
    batch: usize,
    workers: usize,
) -> Result<Reply, WorkerError> {
    let jobs: VecDeque<(usize, Job)> = texts
        .chunks(batch.max(1))
        .map(|texts| TranslateJob {
            texts: texts.to_vec(),
            source: None,
            target: None,
            beams: Some(beams),
            split_sentences: false,
            format: TextFormat::Plain,
            alternatives: 0,
        })
        .map(Job::Translate)
        .enumerate()
        .collect();
    let answers = Mutex::new(vec![Vec::new(); jobs.len()]);
    let jobs = Mutex::new(jobs);
    let work = || -> Result<(), WorkerError> {
        loop {
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((place, job)) = next else { return Ok(()) };
            let Output::Translations(texts) = engine.run(&job, &Control::default())? else {
                return Err(WorkerError::OtherAnswer);
            };
            answers.lock().unwrap_or_else(PoisonError::into_inner)[place] =
                texts.into_iter().map(|translation| translation.text).collect::<Vec<_>>();
        }
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others.into_iter().map(|other| other.join().unwrap_or(Err(WorkerError::OtherAnswer)));
        others.fold(own, |all, one| all.and(one))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Reply { seconds, texts: answers.concat(), ..Reply::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(lines: &str) -> Vec<Reply> {
        let mut output = Vec::new();
        serve(lines.as_bytes(), &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_translation_model_is_loaded_and_asked() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/models/opus-mt-en-de");
        let load = Request::Load {
            folder,
            dtype: "float32".to_owned(),
            threads: 1,
            workers: 2,
            instructions: None,
            packed: None,
        };
        let texts: Vec<String> = ["The dog.", "The sun.", "The dog."].map(str::to_owned).to_vec();
        let translate = Request::Translate { texts, tokens: 0, beams: 1, batch: 1 };
        let lines = [load, translate].map(|request| serde_json::to_string(&request).unwrap()).join("\n");
        let replies = replies(&lines);
        assert!(replies.iter().all(|reply| reply.error.is_none() && reply.seconds > 0.0), "{replies:?}");
        let texts = &replies[1].texts;
        assert_eq!(texts.len(), 3);
        assert_eq!(texts[0], texts[2]);
        assert_ne!(texts[0], texts[1]);
    }

    #[test]
    fn what_goes_wrong_is_the_answer() {
        for (line, error) in [
            ("nonsense", "expected"),
            (r#"{"request":"window","samples":"/","tokens":1}"#, "no model was loaded"),
            (r#"{"request":"load","folder":"/nowhere","dtype":"int3","threads":1,"workers":1}"#, "int3"),
            (
                r#"{"request":"load","folder":"/nowhere","dtype":"float32","threads":1,"workers":1}"#,
                "config.json",
            ),
        ] {
            let reply = replies(line).pop().unwrap();
            assert!(reply.error.as_deref().unwrap_or_default().contains(error), "{line}: {reply:?}");
        }
    }
}
