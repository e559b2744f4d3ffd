//! `serve` on a terminal shows a bar for each version that is on its way; without a terminal, and in a pod's log,
//! each transition is a line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use ostler_crds::status::{Stage, VersionState};
use tokio::sync::watch;

use crate::snapshot::{Snapshot, VersionSnapshot};
use crate::target::VersionKey;

/// How a version is shown before its size is known, and from then on.
const UNSIZED: &str = "{prefix:<30!} {msg}";
const SIZED: &str = "{prefix:<30!} {bar:16} {bytes:>10} of {total_bytes:<10} {msg}";

/// Shows `greeting`, then bars until the snapshots end.
pub async fn show_bars(bars: MultiProgress, greeting: String, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    // A terminal that is gone is no reason to stop serving.
    let _ = bars.println(greeting);
    let mut was_ready = false;
    let mut shown: BTreeMap<VersionKey, (ProgressBar, VersionState)> = BTreeMap::new();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        for version in &snapshot.versions {
            let is_idle = matches!(version.state, VersionState::Remote | VersionState::Cached);
            let is_known = shown.contains_key(&version.key);
            if is_idle && !is_known {
                continue;
            }
            let (bar, before) = shown
                .entry(version.key.clone())
                .or_insert_with(|| (bars.add(new_bar(&version.key)), VersionState::Remote));
            update(bar, version, *before);
            *before = version.state;
        }
        if snapshot.ready && !was_ready {
            was_ready = true;
            let _ = bars.println("ready");
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// Writes a line for each transition until the snapshots end.
pub async fn log_transitions(mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let mut states: BTreeMap<VersionKey, VersionState> = BTreeMap::new();
    let mut was_ready = false;
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        for version in &snapshot.versions {
            let before = states.insert(version.key.clone(), version.state);
            let is_first_idle = before.is_none() && version.state == VersionState::Remote;
            if before != Some(version.state) && !is_first_idle {
                let percent = snapshot.progress_percent;
                tracing::info!(version = %version.key, state = ?version.state, progress_percent = percent, "state");
            }
        }
        if snapshot.ready && !was_ready {
            was_ready = true;
            tracing::info!("ready");
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

fn new_bar(key: &VersionKey) -> ProgressBar {
    let bar = ProgressBar::no_length().with_prefix(key.to_string());
    set_style(&bar, UNSIZED);
    bar
}

/// The templates are constants; one that did not parse would leave the style as it is.
fn set_style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

fn update(bar: &ProgressBar, version: &VersionSnapshot, before: VersionState) {
    if let Some(transfer) = &version.progress {
        if let Ok(total) = u64::try_from(transfer.total_bytes) {
            if bar.length().is_none() {
                set_style(bar, SIZED);
            }
            bar.set_length(total);
            bar.set_position(u64::try_from(transfer.completed_bytes).unwrap_or(0));
        }
        let verifying =
            version.stage.filter(|stage| *stage == Stage::Verify).map(|stage| stage.word().to_owned());
        let rate = || rate(transfer.speed_bytes_per_second, transfer.remaining_seconds);
        bar.set_message(verifying.unwrap_or_else(rate));
    }
    if let (VersionState::Loading, Some(stage)) = (version.state, version.stage) {
        bar.set_message(stage.word());
    }
    if version.state == before {
        return;
    }
    match version.state {
        VersionState::Downloading => bar.enable_steady_tick(Duration::from_millis(250)),
        VersionState::Loaded => {
            bar.set_position(bar.length().unwrap_or_default());
            bar.disable_steady_tick();
            bar.abandon_with_message("loaded");
        }
        VersionState::FailedToLoad => {
            let failure = version.last_failure.as_ref();
            let text = failure.map_or_else(String::new, |it| format!("{}: {}", it.reason, it.message));
            bar.disable_steady_tick();
            bar.abandon_with_message(text);
        }
        VersionState::Loading => {}
        VersionState::Remote | VersionState::Cached => bar.set_message("not loaded"),
    }
}

fn rate(bytes_per_second: i64, remaining_seconds: i64) -> String {
    match (u64::try_from(bytes_per_second), u64::try_from(remaining_seconds)) {
        (Ok(speed), Ok(remaining)) => format!("{}/s, {remaining} s left", indicatif::HumanBytes(speed)),
        _ => "fetching".to_owned(),
    }
}
