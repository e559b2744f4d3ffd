//! Transcribes a file, in ten lines: `transcribe MODEL_FOLDER AUDIO_FILE`, such as `openai/whisper-base` from the Hub and
//! a recording in any common format.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use ostler_crds::names::{Dtype, Task};
use ostler_inference::audio::{self, AudioLimits};
use ostler_inference::engine::{Control, Job, Output, TranscribeJob};
use ostler_inference::load::{self, LoadOptions, PicklePolicy};
use ostler_inference::processor::Processor;

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("write: transcribe MODEL_FOLDER AUDIO_FILE".into());
    };
    let processor = Arc::new(Processor::whole());
    let options = LoadOptions { dtype: Dtype::Auto, pickle: PicklePolicy::Refused, processor, packed: None };
    let engine = load::load(Path::new(&folder), Task::AutomaticSpeechRecognition, &options)?;
    let samples = audio::decode(&std::fs::read(file)?, &AudioLimits::default())?.samples;
    let job = Job::Transcribe(TranscribeJob::new(samples));
    if let Output::Transcript(transcript) = engine.run(&job, &Control::default())? {
        println!("{}", transcript.text);
    }
    Ok(())
}
