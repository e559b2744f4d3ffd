//! An engine whose files stay in the cache as long as it lives, so that it can be loaded again without a fetch.

use ostler_artifacts::InUse;
use ostler_inference::engine::{Control, Engine, EngineError, Job, Output, SpokenLanguages};

pub(super) struct Held {
    engine: Box<dyn Engine>,
    _files: Vec<InUse>,
}

impl Held {
    pub(super) fn new(engine: Box<dyn Engine>, files: Vec<InUse>) -> Self {
        Self { engine, _files: files }
    }
}

impl Engine for Held {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        self.engine.run(job, control)
    }

    fn canary(&self) -> Result<(), EngineError> {
        self.engine.canary()
    }

    fn spoken_languages(&self) -> Option<SpokenLanguages> {
        self.engine.spoken_languages()
    }
}
