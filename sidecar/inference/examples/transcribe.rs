//! Transcribes a file: `transcribe MODEL_FOLDER AUDIO_FILE [DTYPE]`, and says how long that took.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ostler_crds::names::{Dtype, Task};
use ostler_inference::audio::{self, AudioLimits};
use ostler_inference::engine::{Control, Job, LongForm, Output, Temperature, TranscribeJob};
use ostler_inference::load::{self, LoadOptions, PicklePolicy};
use ostler_inference::processor::Processor;

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, file, rest @ ..] = &arguments[..] else {
        return Err("write: transcribe MODEL_FOLDER AUDIO_FILE [DTYPE [batched]]".into());
    };
    let dtype: Dtype = serde_json::from_value(rest.first().map_or("auto", String::as_str).into())?;
    let processor = Arc::new(Processor::whole());
    let options = LoadOptions { dtype, pickle: PicklePolicy::Refused, processor };
    let started = Instant::now();
    let engine = load::load(Path::new(folder), Task::AutomaticSpeechRecognition, &options)?;
    println!("loaded in {:.3} s", started.elapsed().as_secs_f64());
    let samples: Arc<[f32]> = audio::decode(&std::fs::read(file)?, &AudioLimits::default())?.samples.into();
    let long_form = if rest.len() > 1 { LongForm::Batched } else { LongForm::Sequential };
    let job = TranscribeJob {
        samples,
        language: None,
        translate: false,
        timestamps: true,
        prompt: None,
        condition_on_previous_text: false,
        beams: Some(1),
        temperature: Temperature::Fixed(0.0),
        words: false,
        best_of: 1,
        long_form,
    };
    for _ in 0..3 {
        let started = Instant::now();
        if let Output::Transcript(transcript) =
            engine.run(&Job::Transcribe(job.clone()), &Control::default())?
        {
            let tokens: usize = transcript.segments.iter().map(|segment| segment.tokens.len()).sum();
            let seconds = started.elapsed().as_secs_f64();
            println!("{seconds:.3} s for {tokens} tokens: {}", transcript.text);
        }
    }
    Ok(())
}
