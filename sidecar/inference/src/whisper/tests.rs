//! Parity with transformers on tiny random models; `tests/goldens/make_whisper.py` made models and numbers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::candle::CandleForward;
use super::*;
use crate::audio::{self, AudioLimits};
use crate::engine::{DetectLanguageJob, JobProgress, LongForm, Temperature, TranscribeJob, Transcript};
use crate::processor::Processor;
use crate::weights::pickle::PicklePolicy;

pub(super) const MODELS: [&str; 2] = ["whisper-multilingual", "whisper-english"];

pub(super) fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(model)
}

pub(super) fn engine(model: &str) -> Whisper<CandleForward> {
    assemble_with(model, CandleForward::load)
}

pub(super) fn assemble_with<F>(
    model: &str,
    load: impl Fn(&Weights, &ModelConfig) -> Result<F, LoadError>,
) -> Whisper<F> {
    let (folder, processor) = (folder(model), Arc::new(Processor::whole()));
    let source = Source {
        folder: &folder,
        pickle: &PicklePolicy::Refused,
        processor: &processor,
        packed: None,
        part: "",
    };
    assemble(&source, Purpose::Run, load).expect("a model").0
}

/// A window's worth of numbers that the goldens were made of.
pub(super) fn mel(config: &ModelConfig) -> Vec<f32> {
    let numbers = 0..config.num_mel_bins * config.window_frames();
    numbers.map(|place| (place * 37 % 101) as f32 / 101.0 - 0.5).collect()
}

pub(super) fn golden(model: &str) -> Value {
    let bytes = std::fs::read(folder(model).join("golden.json")).expect("a golden");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn samples(golden: &Value, clip: &str) -> Arc<[f32]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/audio");
    let names = golden["clips"][clip].as_array().expect("names");
    names
        .iter()
        .flat_map(|name| {
            let bytes = std::fs::read(folder.join(name.as_str().expect("a name"))).expect("a clip");
            audio::decode(&bytes, &AudioLimits::default()).expect("audio").samples
        })
        .collect()
}

pub(super) fn numbers(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .expect("numbers")
        .iter()
        .map(|number| number.as_f64().expect("a number") as f32)
        .collect()
}

pub(super) fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().expect("tokens").iter().map(|token| token.as_u64().expect("a token") as u32).collect()
}

#[track_caller]
pub(super) fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst =
        found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: off by {worst}");
}

fn job(samples: Arc<[f32]>) -> TranscribeJob {
    TranscribeJob { temperature: Temperature::Fixed(0.0), ..TranscribeJob::new(samples) }
}

fn run<F: Forward>(engine: &Whisper<F>, job: TranscribeJob) -> Transcript {
    match engine.run(&Job::Transcribe(job), &Control::default()) {
        Ok(Output::Transcript(transcript)) => transcript,
        other => panic!("no transcript: {other:?}"),
    }
}

#[test]
fn the_spectrogram_is_that_of_transformers() {
    for model in MODELS {
        let (engine, golden) = (engine(model), golden(model));
        let short = samples(&golden, "short");
        let frames = engine.config.window_frames();
        let lanes = engine.forward.team().enter();
        let window = engine.mel.clip(&lanes, &short).window(0, frames, frames);
        let found: Vec<f32> =
            window.chunks(frames).flat_map(|band| band.iter().step_by(9)).copied().collect();
        assert_close(&found, &numbers(&golden["mel"]["short"]), 1e-4, "short");

        let long = samples(&golden, "long");
        let clip = engine.mel.clip(&lanes, &long);
        let all = clip.window(0, clip.frames(), clip.frames());
        let bands = all.chunks(clip.frames()).step_by(5);
        let found: Vec<f32> = bands.flat_map(|band| band.iter().step_by(23)).copied().collect();
        assert_close(&found, &numbers(&golden["mel"]["long"]), 1e-4, "long");
        // Windows of it are the same frames, and nothing behind the end.
        let last = clip.window(clip.frames() - 1, 2, 2);
        assert_eq!((last[0], last[1]), (all[clip.frames() - 1], 0.0));
    }
}

#[test]
fn logits_are_those_of_transformers() {
    for model in MODELS {
        check_logits(&engine(model), &golden(model), 1e-3);
    }
}

/// Compares the logits after a prefix with those of transformers: of the whole prefix at once, then step by step.
pub(super) fn check_logits<F: Forward>(engine: &Whisper<F>, golden: &Value, tolerance: f32) {
    let control = Control::default();
    let memory = engine.forward.encode(&mel(&engine.config), &control).expect("a memory");
    let prefix = tokens(&golden["prefix"]);
    let expected = numbers(&golden["logits"]);
    let mut session = engine.forward.session(&[&memory], prefix.len()).expect("a session");
    let all: Vec<usize> = (0..prefix.len()).collect();
    let mut found = Vec::new();
    session.feed(&[&prefix], &all, &mut found, &control).expect("logits");
    assert_close(&found, &expected, tolerance, "logits of a whole prefix");

    // Token by token, in three rows of which one is shuffled away and back, with another window beside it.
    let silence = vec![0.0; engine.config.num_mel_bins * 20];
    let silence = engine.forward.encode(&silence, &control).expect("a memory");
    let mut session = engine.forward.session(&[&memory, &memory, &silence], prefix.len()).expect("a session");
    let (mut found, mut logits) = (Vec::new(), Vec::new());
    for token in &prefix {
        let row = [*token];
        let other = [token.wrapping_add(1) % 300];
        session.feed(&[&other, &row, &other], &[0], &mut logits, &control).expect("logits");
        found.extend_from_slice(&logits[logits.len() / 3..logits.len() / 3 * 2]);
        session.reorder(&[1, 2, 0, 0]).expect("reordered");
        session = session.fork(&[2, 0, 1]).expect("forked");
    }
    assert_close(&found, &expected, tolerance, "logits step by step");
}

#[test]
fn tokens_and_times_are_those_of_transformers() {
    for model in MODELS {
        check_cases(&engine(model), &golden(model));
    }
}

/// Transcribes every case of the goldens.
pub(super) fn check_cases<F: Forward>(engine: &Whisper<F>, golden: &Value) {
    for case in golden["cases"].as_array().expect("cases") {
        let options = &case["options"];
        let transcript = run(
            engine,
            TranscribeJob {
                language: options["language"].as_str().map(str::to_owned),
                translate: options["task"] == "translate",
                timestamps: options["timestamps"].as_bool().expect("a flag"),
                prompt: options["prompt"].as_str().map(str::to_owned),
                condition_on_previous_text: options["condition_on_prev_tokens"] == true,
                beams: options["num_beams"].as_u64().map(|beams| beams as usize),
                ..job(samples(golden, case["clip"].as_str().expect("a clip")))
            },
        );
        let expected: Vec<Vec<u32>> = case["tokens"].as_array().expect("tokens").iter().map(tokens).collect();
        let found: Vec<Vec<u32>> = transcript.segments.iter().map(|segment| segment.tokens.clone()).collect();
        assert_eq!(found, expected, "{case}");
        if options["timestamps"] == true {
            for (segment, times) in transcript.segments.iter().zip(case["times"].as_array().expect("times")) {
                assert_close(&[segment.start as f32, segment.end as f32], &numbers(times), 1e-4, "times");
            }
        }
    }
}

#[test]
fn the_language_is_the_one_that_transformers_detects() {
    let (engine, golden) = (engine("whisper-multilingual"), golden("whisper-multilingual"));
    let transcript = run(&engine, job(samples(&golden, "short")));
    assert_eq!(transcript.language, golden["language"].as_str().expect("a language"));
    assert!(
        transcript.language_probability.is_some_and(|probability| (1.0 / 3.0..=1.0).contains(&probability))
    );
    let detect = |samples| Job::DetectLanguage(DetectLanguageJob { samples });
    let Ok(Output::Languages(languages)) =
        engine.run(&detect(samples(&golden, "short")), &Control::default())
    else {
        panic!("no languages")
    };
    assert_eq!(languages.len(), 3);
    assert_eq!(
        (&languages[0].label, Some(languages[0].score)),
        (&transcript.language, transcript.language_probability)
    );
    // Of a longer clip the first window alone is listened to.
    let long = samples(&golden, "long");
    let window: Arc<[f32]> = long[..engine.config.window_frames() * 160].into();
    let [long, window] =
        [long, window].map(|samples| engine.run(&detect(samples), &Control::default()).expect("languages"));
    assert!(matches!((long, window), (Output::Languages(long), Output::Languages(window)) if long == window));

    let english = self::engine("whisper-english");
    let transcript = run(&english, job(samples(&golden, "short")));
    assert_eq!((transcript.language.as_str(), transcript.language_probability), ("en", None));
    for (engine, samples, expected) in [
        (&english, vec![0.0; 1600], "this model does not detect spoken languages"),
        (&engine, Vec::new(), "samples: are none; send audio that is longer than nothing"),
        (&engine, vec![f32::NAN], "samples: hold NaN or infinity"),
    ] {
        let error = engine.run(&detect(samples.into()), &Control::default()).expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn chance_is_the_same_for_the_same_clip() {
    let (engine, golden) = (engine("whisper-multilingual"), golden("whisper-multilingual"));
    let at = |temperature| TranscribeJob { temperature, ..job(samples(&golden, "short")) };
    let first = run(&engine, at(Temperature::Fixed(1.0)));
    assert_eq!(first, run(&engine, at(Temperature::Fixed(1.0))));
    assert_ne!(first.segments, run(&engine, at(Temperature::Fixed(0.9))).segments);
    let ladder = run(&engine, at(Temperature::Ladder));
    assert_eq!(ladder, run(&engine, at(Temperature::Ladder)));
}

#[test]
fn the_best_of_several_samples_is_kept() {
    let (engine, golden) = (engine("whisper-multilingual"), golden("whisper-multilingual"));
    let at = |best_of| TranscribeJob {
        temperature: Temperature::Fixed(1.0),
        best_of,
        ..job(samples(&golden, "short"))
    };
    let of = |best_of| run(&engine, at(best_of)).segments[0].average_log_probability;
    let log_probabilities = [1, 3, 5].map(of);
    // The first sample is the same whatever comes beside it, but for rounding.
    assert!(log_probabilities[1] > log_probabilities[0] - 1e-5, "{log_probabilities:?}");
    assert!(log_probabilities[2] > log_probabilities[0] + 1e-3, "{log_probabilities:?}");
}

#[test]
fn the_texts_of_batched_windows_lie_in_their_parts_of_the_clip() {
    let (engine, golden) = (engine("whisper-multilingual"), golden("whisper-multilingual"));
    let batched = |samples: Arc<[f32]>| {
        run(
            &engine,
            TranscribeJob { long_form: LongForm::Batched, language: Some("en".to_owned()), ..job(samples) },
        )
    };
    let long = samples(&golden, "long");
    let transcript = batched(Arc::clone(&long));
    let starts: Vec<usize> = transcript.segments.iter().map(|segment| segment.seek).collect();
    assert!(starts.is_sorted() && starts.len() > 1, "{starts:?}");
    let ids: Vec<usize> = transcript.segments.iter().map(|segment| segment.id).collect();
    assert_eq!(ids, (0..ids.len()).collect::<Vec<_>>());
    // Every text lies in the part of the clip whose window it was heard in.
    let parts = cuts::windows(&loudness::Loudness::of(&long, 160), engine.config.window_frames());
    assert!(parts.len() > 1);
    for segment in &transcript.segments {
        let part = parts.iter().find(|part| part.contains(&segment.seek)).expect("a part");
        assert!(segment.end <= part.end as f64 * 0.01 + 1e-6, "{segment:?} {part:?}");
    }
    for beams in [1, 3] {
        let many =
            TranscribeJob { beams: Some(beams), long_form: LongForm::Batched, ..job(Arc::clone(&long)) };
        let transcript = run(&engine, many);
        assert!(transcript.segments.iter().all(|segment| segment.end <= transcript.duration_seconds + 0.01));
    }
}

#[test]
fn progress_is_told_window_by_window_and_a_cancelled_job_stops() {
    let (engine, golden) = (engine("whisper-english"), golden("whisper-english"));
    for long_form in [LongForm::Sequential, LongForm::Batched] {
        check_progress(&engine, TranscribeJob { long_form, ..job(samples(&golden, "long")) });
    }
}

/// What was told adds up to the transcript.
fn check_progress<F: Forward>(engine: &Whisper<F>, job: TranscribeJob) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let control = {
        let told = Arc::clone(&told);
        Control::with_progress(move |progress| told.lock().expect("no poison").push(progress))
    };
    let job = Job::Transcribe(job);
    let Ok(Output::Transcript(transcript)) = engine.run(&job, &control) else { panic!("no transcript") };
    let mut heard = Vec::new();
    let mut before = 0.0;
    let told: Vec<JobProgress> = told.lock().expect("no poison").drain(..).collect();
    let mut told = told.into_iter();
    // Who waits for the text may prepare what comes after it meanwhile.
    assert_eq!(told.next(), Some(JobProgress::Spoken { language: transcript.language.clone() }));
    for progress in told {
        let JobProgress::Transcribed { seconds, total_seconds, segments } = progress else {
            panic!("{progress:?}")
        };
        assert!(seconds > before && seconds <= total_seconds && total_seconds == transcript.duration_seconds);
        before = seconds;
        heard.extend(segments);
    }
    assert_eq!(heard, transcript.segments);
    control.cancel();
    assert!(matches!(engine.run(&job, &control), Err(EngineError::Cancelled)));
}

#[test]
fn what_a_model_cannot_do_is_refused_by_name() {
    let sound: Arc<[f32]> = vec![0.0; 1600].into();
    let (multilingual, english) = (engine("whisper-multilingual"), engine("whisper-english"));
    let plain = || job(Arc::clone(&sound));
    let cases = [
        (&multilingual, TranscribeJob { samples: Vec::new().into(), ..plain() }, "samples"),
        (&multilingual, TranscribeJob { samples: vec![f32::NAN].into(), ..plain() }, "samples"),
        (&multilingual, TranscribeJob { language: Some("klingon".to_owned()), ..plain() }, "language"),
        (&multilingual, TranscribeJob { language: Some("ja".to_owned()), ..plain() }, "language"),
        (&english, TranscribeJob { language: Some("de".to_owned()), ..plain() }, "language"),
        (&english, TranscribeJob { translate: true, ..plain() }, "translate"),
        (&multilingual, TranscribeJob { beams: Some(0), ..plain() }, "beams"),
        (&multilingual, TranscribeJob { beams: Some(1000), ..plain() }, "beams"),
        (&multilingual, TranscribeJob { temperature: Temperature::Fixed(-1.0), ..plain() }, "temperature"),
        (
            &multilingual,
            TranscribeJob { temperature: Temperature::Fixed(f32::NAN), ..plain() },
            "temperature",
        ),
        (&multilingual, TranscribeJob { prompt: Some("<|endoftext|>".to_owned()), ..plain() }, "prompt"),
        (&multilingual, TranscribeJob { words: true, ..plain() }, "words"),
        (&multilingual, TranscribeJob { best_of: 0, ..plain() }, "best_of"),
        (&multilingual, TranscribeJob { best_of: 2, ..plain() }, "best_of"),
        (
            &multilingual,
            TranscribeJob { long_form: LongForm::Batched, condition_on_previous_text: true, ..plain() },
            "condition_on_previous_text",
        ),
    ];
    for (engine, job, named) in cases {
        match engine.run(&Job::Transcribe(job), &Control::default()) {
            Err(EngineError::InvalidInput { parameter, .. }) => assert_eq!(parameter, named),
            other => panic!("{named}: {other:?}"),
        }
    }
    for language in ["English", "en"] {
        run(&english, TranscribeJob { language: Some(language.to_owned()), ..plain() });
    }
}

#[test]
fn a_model_is_measured_without_its_weights_being_read() {
    for model in MODELS {
        let processor = Arc::new(Processor::whole());
        let folder = folder(model);
        let source = Source {
            folder: &folder,
            pickle: &PicklePolicy::Refused,
            processor: &processor,
            packed: None,
            part: "",
        };
        let measured = |dtype| inspect(&source, dtype).expect("measured");
        let file = std::fs::metadata(folder.join("model.safetensors")).expect("a file").len();
        let footprint = measured(Dtype::Float32);
        // Two bytes a number in the file, four in memory.
        assert!(
            footprint.resident_bytes > file && footprint.resident_bytes < 5 * file / 2,
            "{footprint:?} {file}"
        );
        assert!(footprint.scratch_bytes > 0);
        assert!(measured(Dtype::Int8).resident_bytes < measured(Dtype::Bfloat16).resident_bytes);
        assert!(measured(Dtype::Bfloat16).resident_bytes < footprint.resident_bytes);
        engine(model).canary().expect("finite");
        for dtype in [Dtype::Auto, Dtype::Bfloat16, Dtype::Int8] {
            let engine = load(&source, dtype).expect("a model");
            engine.canary().expect("finite");
        }
        let refused = load(&source, Dtype::Float16);
        assert!(refused.err().is_some_and(|error| error.to_string().contains("float16")));
    }
}
