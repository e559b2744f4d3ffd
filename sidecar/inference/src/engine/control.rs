//! What passes between a running job and those who wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{EngineError, Segment};

/// What a caller can do to a running job: cancel it, and hear of its progress.
#[derive(Clone, Default)]
pub struct Control {
    cancelled: Arc<AtomicBool>,
    /// Those that a job is done for together, where there are several.
    callers: Arc<[Control]>,
    on_progress: Option<Arc<dyn Fn(JobProgress) + Send + Sync>>,
}

impl Control {
    /// A control whose job reports its progress to `on_progress`.
    #[must_use]
    pub fn with_progress(on_progress: impl Fn(JobProgress) + Send + Sync + 'static) -> Self {
        Self { on_progress: Some(Arc::new(on_progress)), ..Self::default() }
    }

    /// The control of a job that is done for several callers: it stops when none of them wants it any more.
    #[must_use]
    pub fn of_all(callers: impl IntoIterator<Item = Self>) -> Self {
        Self { callers: callers.into_iter().collect(), ..Self::default() }
    }

    /// Asks the job to stop. Any thread may ask.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Engines call this at every encoder layer and decoder step.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] once [`Control::cancel`] was called.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_cancelled() { Err(EngineError::Cancelled) } else { Ok(()) }
    }

    /// Whether nobody wants the job any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
            || (!self.callers.is_empty() && self.callers.iter().all(Self::is_cancelled))
    }

    /// Engines tell how far they are.
    pub fn report(&self, progress: JobProgress) {
        if let Some(on_progress) = &self.on_progress {
            on_progress(progress);
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq)]
pub enum JobProgress {
    /// The language of a clip is known, given or heard in its first window. It comes before any text.
    Spoken {
        /// As Whisper writes it (`de`).
        language: String,
    },
    /// A long-form transcription has decoded up to this time.
    Transcribed {
        /// Seconds of audio done.
        seconds: f64,
        /// Seconds of audio in all.
        total_seconds: f64,
        /// The segments that this step finished.
        segments: Vec<Segment>,
    },
    /// This many of the sentences of a translation are done.
    Translated {
        /// Sentences done.
        done: usize,
        /// Sentences in all.
        total: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_for_several_goes_on_for_the_last_of_them() {
        let callers = [Control::default(), Control::default()];
        let job = Control::of_all(callers.clone());
        callers[0].cancel();
        assert!(job.check().is_ok());
        callers[1].cancel();
        assert!(matches!(job.check(), Err(EngineError::Cancelled)));
        assert!(Control::of_all([]).check().is_ok());
    }
}
