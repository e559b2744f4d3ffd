//! Which pins an artifact had before, and which of them stay, so that clients can still ask for them by commit.

use ostler_crds::names::{Commit, Dtype};
use ostler_crds::serving_plan::{PlannedArtifact, RetiredPin};

/// What an artifact was pinned to until now, and how many earlier pins its model's spec keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Past {
    /// The present pin and those before it, newest first.
    pins: Vec<RetiredPin>,
    limit: usize,
}

impl Past {
    /// The past of an artifact that the plan in force holds like this, in a version that is computed in `dtype`.
    pub(super) fn of(planned: &PlannedArtifact, dtype: Dtype, limit: usize) -> Self {
        let present =
            planned.commit.clone().map(|commit| RetiredPin { source: planned.source.clone(), commit, dtype });
        Self { pins: present.into_iter().chain(planned.history.iter().cloned()).collect(), limit }
    }

    /// The pins that stay beside the next one, newest first. A pin that is the present one again is none of them, nor is
    /// what a folder held: it has no commit to ask for.
    pub(super) fn beside(&self, next: Option<&Commit>) -> Vec<RetiredPin> {
        let retired = self.pins.iter().filter(|pin| Some(&pin.commit) != next);
        retired.take(self.limit).cloned().collect()
    }
}
