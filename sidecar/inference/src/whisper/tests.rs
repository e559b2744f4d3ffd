//! Parity with transformers on tiny random models; `tests/goldens/make_whisper.py` made models and numbers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::audio::{self, AudioLimits};
use crate::engine::{JobProgress, Temperature, TranscribeJob, Transcript};

const MODELS: [&str; 2] = ["whisper-multilingual", "whisper-english"];

fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(model)
}

fn engine(model: &str) -> Whisper {
    load(&folder(model), &PicklePolicy::Refused, Purpose::Run).expect("a model")
}

fn golden(model: &str) -> Value {
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

fn numbers(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .expect("numbers")
        .iter()
        .map(|number| number.as_f64().expect("a number") as f32)
        .collect()
}

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().expect("tokens").iter().map(|token| token.as_u64().expect("a token") as u32).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst =
        found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: off by {worst}");
}

fn job(samples: Arc<[f32]>) -> TranscribeJob {
    TranscribeJob {
        samples,
        language: None,
        translate: false,
        timestamps: true,
        prompt: None,
        condition_on_previous_text: false,
        beams: None,
        temperature: Temperature::Fixed(0.0),
    }
}

fn run(engine: &Whisper, job: TranscribeJob) -> Transcript {
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
        let window = engine.mel.clip(&short).window(0, frames);
        let found: Vec<f32> =
            window.chunks(frames).flat_map(|band| band.iter().step_by(9)).copied().collect();
        assert_close(&found, &numbers(&golden["mel"]["short"]), 1e-4, "short");

        let long = samples(&golden, "long");
        let clip = engine.mel.clip(&long);
        let all = clip.window(0, clip.frames());
        let bands = all.chunks(clip.frames()).step_by(5);
        let found: Vec<f32> = bands.flat_map(|band| band.iter().step_by(23)).copied().collect();
        assert_close(&found, &numbers(&golden["mel"]["long"]), 1e-4, "long");
        // Windows of it are the same frames, and nothing behind the end.
        let last = clip.window(clip.frames() - 1, 2);
        assert_eq!((last[0], last[1]), (all[clip.frames() - 1], 0.0));
    }
}

#[test]
fn encoder_and_decoder_compute_what_transformers_does() {
    for model in MODELS {
        let (engine, golden) = (engine(model), golden(model));
        let control = Control::default();
        let numbers_of_a_window = engine.config.num_mel_bins * engine.config.window_frames();
        let mel = (0..numbers_of_a_window).map(|place| (place * 37 % 101) as f32 / 101.0 - 0.5).collect();
        let states = engine.encoder.forward(mel, &control).expect("states");
        let rows: Vec<Vec<f32>> = states.i(0).expect("a batch").to_vec2().expect("rows");
        let found: Vec<f32> = rows.iter().step_by(11).flatten().copied().collect();
        assert_close(&found, &numbers(&golden["states"]), 1e-3, "states");

        let prefix = tokens(&golden["prefix"]);
        let expected = numbers(&golden["logits"]);
        let cross = engine.decoder.remember(&states).expect("memory");
        let mut state = DecoderState::default();
        let at_once = engine.decoder.forward(&[&prefix], &cross, &mut state, &control).expect("states");
        let found = engine.decoder.logits(&at_once.i(0).expect("a batch")).expect("logits");
        assert_close(&found, &expected, 1e-3, "logits of a whole prefix");

        // Token by token, in three rows of which one is shuffled away and back.
        let mut state = DecoderState::default();
        let mut found = Vec::new();
        for token in &prefix {
            let row = [*token];
            let other = [token.wrapping_add(1) % 300];
            let states = engine
                .decoder
                .forward(&[&other, &row, &other], &cross, &mut state, &control)
                .expect("states");
            found.extend(engine.decoder.logits(&states.i(1).expect("a row")).expect("logits"));
            state.reorder(&[1, 0, 0]).expect("reordered");
            state.reorder(&[2, 0, 1]).expect("reordered");
        }
        assert_close(&found, &expected, 1e-3, "logits step by step");
    }
}

#[test]
fn tokens_and_times_are_those_of_transformers() {
    for model in MODELS {
        let (engine, golden) = (engine(model), golden(model));
        for case in golden["cases"].as_array().expect("cases") {
            let options = &case["options"];
            let transcript = run(
                &engine,
                TranscribeJob {
                    language: options["language"].as_str().map(str::to_owned),
                    translate: options["task"] == "translate",
                    timestamps: options["timestamps"].as_bool().expect("a flag"),
                    prompt: options["prompt"].as_str().map(str::to_owned),
                    condition_on_previous_text: options["condition_on_prev_tokens"] == true,
                    beams: options["num_beams"].as_u64().map(|beams| beams as usize),
                    ..job(samples(&golden, case["clip"].as_str().expect("a clip")))
                },
            );
            let expected: Vec<Vec<u32>> =
                case["tokens"].as_array().expect("tokens").iter().map(tokens).collect();
            let found: Vec<Vec<u32>> =
                transcript.segments.iter().map(|segment| segment.tokens.clone()).collect();
            assert_eq!(found, expected, "{model} {case}");
            if options["timestamps"] == true {
                for (segment, times) in
                    transcript.segments.iter().zip(case["times"].as_array().expect("times"))
                {
                    assert_close(&[segment.start as f32, segment.end as f32], &numbers(times), 1e-4, "times");
                }
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
    let english = run(&self::engine("whisper-english"), job(samples(&golden, "short")));
    assert_eq!((english.language.as_str(), english.language_probability), ("en", None));
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
fn progress_is_told_window_by_window_and_a_cancelled_job_stops() {
    let (engine, golden) = (engine("whisper-english"), golden("whisper-english"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let control = {
        let told = Arc::clone(&told);
        Control::with_progress(move |progress| told.lock().expect("no poison").push(progress))
    };
    let job = Job::Transcribe(job(samples(&golden, "long")));
    let Ok(Output::Transcript(transcript)) = engine.run(&job, &control) else { panic!("no transcript") };
    let mut heard = Vec::new();
    let mut before = 0.0;
    for progress in told.lock().expect("no poison").drain(..) {
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
        let footprint = inspect(&folder(model), &PicklePolicy::Refused).expect("measured");
        let file = std::fs::metadata(folder(model).join("model.safetensors")).expect("a file").len();
        // Two bytes a number in the file, four in memory.
        assert!(
            footprint.resident_bytes > file && footprint.resident_bytes < 2 * file,
            "{footprint:?} {file}"
        );
        assert!(footprint.scratch_bytes > 0);
        engine(model).canary().expect("finite");
    }
}
