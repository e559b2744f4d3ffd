//! What the tests of speech share: clips, jobs, running one.

use std::path::Path;
use std::sync::Arc;

use ostler_crds::names::{Dtype, Task};
use ostler_inference::audio::{self, AudioLimits};
use ostler_inference::engine::{Control, Engine, Job, Output, TranscribeJob, Transcript};
use ostler_inference::load::{LoadOptions, PicklePolicy};
use ostler_inference::processor::Processor;

/// A recording.
pub(crate) struct Clip {
    pub(crate) samples: Arc<[f32]>,
}

impl Clip {
    pub(crate) fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let pcm = audio::decode(&bytes, &AudioLimits::default()).expect("a decodable clip");
        Self { samples: pcm.samples.into() }
    }
}

pub(crate) fn load(folder: &Path, dtype: Dtype) -> Box<dyn Engine> {
    let options = LoadOptions {
        dtype,
        pickle: PicklePolicy::Refused,
        processor: Arc::new(Processor::whole()),
        packed: None,
    };
    ostler_inference::load::load(folder, Task::AutomaticSpeechRecognition, &options).expect("a model")
}

/// Transcribe with timestamps, all else as the interfaces' defaults have it.
pub(crate) fn job(clip: &Clip) -> TranscribeJob {
    TranscribeJob::new(Arc::clone(&clip.samples))
}

pub(crate) fn run(engine: &dyn Engine, job: TranscribeJob) -> Transcript {
    match engine.run(&Job::Transcribe(job), &Control::default()) {
        Ok(Output::Transcript(transcript)) => transcript,
        other => panic!("no transcript: {other:?}"),
    }
}
