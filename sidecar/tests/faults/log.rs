//! When versions came into memory and left it, as the program's log says it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::process::Sidecar;

/// The lines of the log with a message: when, and of which version.
pub(crate) fn lines(sidecar: &Sidecar, message: &str) -> Vec<(Timestamp, String)> {
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_it = line["message"] == message;
        is_it.then(|| {
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            (text("timestamp").parse::<Timestamp>().unwrap(), text("version"))
        })
    };
    sidecar.log_text().lines().filter_map(read).collect()
}

/// The milliseconds of each load.
pub(crate) fn load_times(sidecar: &Sidecar) -> Vec<f64> {
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        if line["message"] == "loaded" { line["milliseconds"].as_f64() } else { None }
    };
    sidecar.log_text().lines().filter_map(read).collect()
}

/// How long each version stayed in memory that has left it.
pub(crate) fn residencies(sidecar: &Sidecar) -> Vec<(String, Duration)> {
    let mut loads: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for (time, version) in lines(sidecar, "loaded") {
        loads.entry(version).or_default().push(time);
    }
    let ended = lines(sidecar, "unloading").into_iter();
    ended
        .map(|(end, version)| {
            let begun = loads[&version].iter().filter(|time| **time <= end).max().unwrap();
            (version, end.duration_since(*begun).unsigned_abs())
        })
        .collect()
}
