//! The language of speech, told to the manager as soon as it is heard and while the speech is worked on, so that what
//! usually follows can be loaded before the text is there.

use std::sync::OnceLock;

use ostler_inference::engine::JobProgress;

use crate::lease::Provenance;
use crate::manager::Manager;
use crate::routing::Subject;

/// Hears of the progress of one job.
pub(super) struct Listener {
    manager: Manager,
    provenance: Provenance,
    subject: Subject,
    language: OnceLock<String>,
}

impl Listener {
    /// Listens to a job that a version does for somebody; `None` where nobody wants to know.
    pub(super) fn new(manager: &Manager, provenance: &Provenance, subject: Subject) -> Option<Self> {
        manager.listens().then(|| Self {
            manager: manager.clone(),
            provenance: provenance.clone(),
            subject,
            language: OnceLock::new(),
        })
    }

    /// Passes on what is new in it.
    pub(super) fn hear(&self, progress: &JobProgress) {
        let is_first = match progress {
            JobProgress::Spoken { language } => self.language.set(language.clone()).is_ok(),
            JobProgress::Transcribed { .. } | JobProgress::Translated { .. } => false,
        };
        if let Some(language) = self.language.get() {
            self.manager.heard(&self.provenance, &self.subject, language, is_first);
        }
    }
}
