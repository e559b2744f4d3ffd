//! What is told of requests beside their wish for a version, so that what usually follows can be loaded.

use super::Manager;
use crate::lease::Provenance;
use crate::prediction::{Asker, Cue};
use crate::residency_task::Command;
use crate::routing::Subject;
use crate::target::VersionKey;

impl Manager {
    /// Whether anybody wants to know which language is spoken.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.shared.plan.borrow().preload_by_usage.is_some()
    }

    /// The speech that a version works on for somebody is in a language, as was heard just now (`is_first`), or again
    /// while the work goes on. What usually follows may be loaded meanwhile.
    pub fn heard(&self, provenance: &Provenance, subject: &Subject, language: &str, is_first: bool) {
        let after = VersionKey {
            model: provenance.model.clone(),
            version: provenance.version.clone(),
            language_pair: provenance.language_pair.clone(),
            retired: None,
        };
        let cue = Cue { after, language: Some(language.to_owned()) };
        let _ = self.shared.commands.send(Command::Heard { cue, asker: asker(subject), is_first });
    }
}

/// Who asks, where other requests may be the same one's.
pub(super) fn asker(subject: &Subject) -> Option<Asker> {
    subject.name().map(Asker::named)
}
