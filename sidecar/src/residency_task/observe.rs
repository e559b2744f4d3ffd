//! What others see of the residency at one moment, put together from what the task knows. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use ostler_crds::names::LoadPolicy;
use ostler_crds::status::{Stage, VersionState};
use ostler_inference::engine::SpokenLanguages;

use crate::loader::Prepared;
use crate::prediction::{PredictedLoads, Prediction};
use crate::progress::{self, Meter};
use crate::residency::{EntryId, FailureRecord, Moment, Residency, View};
use crate::snapshot::{FailureSnapshot, Snapshot, VersionSnapshot};

/// Everything that a snapshot is made of.
pub(super) struct Sources<'task> {
    pub(super) residency: &'task Residency,
    pub(super) meters: &'task HashMap<EntryId, Meter>,
    pub(super) prepared: &'task HashMap<EntryId, Prepared>,
    pub(super) languages: &'task HashMap<EntryId, Arc<SpokenLanguages>>,
    /// The wall clock at the residency's moment zero.
    pub(super) started_at: Timestamp,
    pub(super) plan_generation: i64,
    pub(super) budget_bytes: u64,
    /// What of it is for the answers that are kept.
    pub(super) set_aside_bytes: u64,
    /// The progress reported before under the same plan.
    pub(super) least_percent: u8,
    /// What is in memory and not proved yet.
    pub(super) unproved: &'task HashSet<EntryId>,
    /// How far each entry was before.
    pub(super) percents: &'task HashMap<EntryId, u8>,
    /// What was loaded ahead and is unused yet, with the reason.
    pub(super) ahead: &'task HashMap<EntryId, Prediction>,
    /// What became of all loads ahead.
    pub(super) predicted_loads: &'task PredictedLoads,
}

/// Makes the snapshot, and says how far each entry is.
pub(super) fn observe(sources: &Sources<'_>) -> (Snapshot, HashMap<EntryId, u8>) {
    let views = sources.residency.views();
    let preloaded = views.iter().filter(|view| view.target.load == LoadPolicy::Preload);
    let fractions: Vec<f64> = preloaded
        .map(|view| progress::fraction(view.state, view.is_proven, sources.meters.get(&view.entry)))
        .collect();
    let (present, retired) = (
        views.iter().filter(|view| view.target.key.retired.is_none()),
        views.iter().filter(|view| view.target.key.retired.is_some()),
    );
    let snapshot = Snapshot {
        plan_generation: sources.plan_generation,
        ready: sources.residency.is_ready(),
        progress_percent: progress::percent(&fractions, sources.least_percent),
        budget_bytes: sources.budget_bytes,
        reserved_bytes: sources.residency.reserved_bytes().saturating_add(sources.set_aside_bytes),
        waiting_requests: sources.residency.waiting(),
        predicted_loads: sources.predicted_loads.clone(),
        versions: present.map(|view| version(sources, view)).collect(),
        retired: retired.map(|view| version(sources, view)).collect(),
    };
    let percents = views.iter().map(|view| (view.entry, stage_and_percent(sources, view).1));
    (snapshot, percents.filter(|(_, percent)| *percent > 0).collect())
}

fn stage_and_percent(sources: &Sources<'_>, view: &View<'_>) -> (Option<Stage>, u8) {
    let transfer = sources.meters.get(&view.entry);
    let stage = progress::stage(view.state, transfer, sources.unproved.contains(&view.entry));
    let least = sources.percents.get(&view.entry).copied().unwrap_or_default();
    (stage, progress::version_percent(view.state, stage, transfer, least))
}

fn version(sources: &Sources<'_>, view: &View<'_>) -> VersionSnapshot {
    let target = view.target;
    let meter = sources.meters.get(&view.entry).filter(|_| view.state == VersionState::Downloading);
    let (stage, percent) = stage_and_percent(sources, view);
    let pinned = || target.commit.as_ref().map(ToString::to_string);
    VersionSnapshot {
        key: target.key.clone(),
        task: target.task,
        load: target.load,
        dtype: target.dtype,
        revision: revision(sources, view.entry).or_else(pinned).unwrap_or_default(),
        state: view.state,
        stage,
        percent,
        proven: view.is_proven,
        resident_bytes: view.reserved_bytes,
        loaded_ahead: sources.ahead.get(&view.entry).map(|prediction| prediction.reason.to_string()),
        progress: meter.map(Meter::snapshot),
        last_failure: view.last_failure.map(|record| failure(sources, record)),
        serving_revision: view.predecessor.and_then(|entry| revision(sources, entry)),
        languages: sources.languages.get(&view.entry).cloned(),
    }
}

fn revision(sources: &Sources<'_>, entry: EntryId) -> Option<String> {
    sources.prepared.get(&entry).map(|prepared| prepared.revision.clone())
}

fn failure(sources: &Sources<'_>, record: &FailureRecord) -> FailureSnapshot {
    let timestamp = |moment: Moment| sources.started_at.checked_add(moment).unwrap_or(sources.started_at);
    FailureSnapshot {
        location: record.failure.location,
        reason: record.failure.reason.clone(),
        message: record.failure.message.clone(),
        time: timestamp(record.at),
        retry_at: record.retry_at.map(timestamp),
    }
}
