//! A whole clip: its language, then its windows in the long form that the job asks for.

use super::forward::Forward;
use super::language::{self, Candidate};
use super::request::{Request, RequestedLanguage};
use super::rules::{DecodingRules, TimestampRules};
use super::transcription::{Language, Transcription};
use super::{Whisper, batched, sequential};
use crate::engine::{Control, EngineError, JobProgress, LongForm, TranscribeJob, Transcript};

pub(super) fn transcribe<F: Forward>(
    engine: &Whisper<F>,
    job: &TranscribeJob,
    control: &Control,
) -> Result<Transcript, EngineError> {
    let generation = &engine.generation;
    let request = Request::new(job, generation, &engine.vocabulary)?;
    control.check()?;
    let rules = DecodingRules {
        suppress: generation.suppress.clone(),
        begin_suppress: generation.begin_suppress.clone(),
        timestamps: job.timestamps.then_some(TimestampRules {
            no_timestamps: generation.no_timestamps,
            end: generation.end,
            max_initial_index: generation.max_initial_timestamp_index,
        }),
    };
    let mel = engine.mel.clip(&engine.forward.team().enter(), &job.samples);
    run(&Transcription { engine, job, control, request, mel, rules })
}

fn run<F: Forward>(transcription: &Transcription<'_, F>) -> Result<Transcript, EngineError> {
    let window_frames = transcription.engine.config.window_frames();
    // A clip of one window has nothing to batch, and is then heard again behind its last timestamp.
    let is_batched =
        transcription.job.long_form == LongForm::Batched && transcription.mel.sound_frames() > window_frames;
    let first = transcription.encode(0, window_frames)?;
    let language = language(transcription, &first)?;
    transcription.control.report(JobProgress::Spoken { language: language.code.clone() });
    let segments = if is_batched {
        // Its first window ends elsewhere, so it is encoded again.
        drop(first);
        batched::transcribe(transcription, &language)?
    } else {
        sequential::transcribe(transcription, &language, first)?
    };
    let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
    Ok(Transcript {
        text: text.trim().to_owned(),
        language: language.code,
        language_probability: language.probability,
        duration_seconds: transcription.duration(),
        segments,
    })
}

fn language<F: Forward>(
    transcription: &Transcription<'_, F>,
    first_window: &F::Memory,
) -> Result<Language, EngineError> {
    match &transcription.request.language {
        RequestedLanguage::EnglishOnly => {
            return Ok(Language { code: "en".to_owned(), token: None, probability: None });
        }
        RequestedLanguage::Given { code, token } => {
            return Ok(Language { code: code.clone(), token: Some(*token), probability: None });
        }
        RequestedLanguage::Detect => {}
    }
    let Candidate { code, token, probability } =
        language::of_window(transcription.engine, first_window, transcription.control)?;
    Ok(Language { code, token: Some(token), probability: Some(probability) })
}
