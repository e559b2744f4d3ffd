use std::time::Duration;

use jiff::Timestamp;
use ostler_crds::names::{Dtype, LoadPolicy};
use ostler_crds::status::{FailureLocation, VersionState};

use super::*;
use crate::snapshot::{FailureSnapshot, VersionSnapshot};

fn key(version: &str) -> VersionKey {
    VersionKey { model: "whisper".parse().unwrap(), version: version.parse().unwrap(), language_pair: None }
}

fn version(name: &str, state: VersionState, failure: Option<&str>) -> VersionSnapshot {
    VersionSnapshot {
        key: key(name),
        task: Task::AutomaticSpeechRecognition,
        load: LoadPolicy::Lazy,
        dtype: Dtype::Auto,
        revision: String::new(),
        state,
        resident_bytes: 0,
        progress: None,
        last_failure: failure.map(|reason| FailureSnapshot {
            location: FailureLocation::Download,
            reason: reason.to_owned(),
            message: "the hub answers 500".to_owned(),
            time: Timestamp::UNIX_EPOCH,
            retry_at: None,
        }),
        serving_revision: None,
        languages: None,
    }
}

#[test]
fn a_refused_wait_lists_each_candidate_with_its_failure_or_state() {
    let snapshot = Snapshot {
        versions: vec![
            version("v1", VersionState::Downloading, None),
            version("v2", VersionState::FailedToLoad, Some("HubUnavailable")),
        ],
        ..Snapshot::default()
    };
    let busy = AcquireError::Busy { key: key("v2"), retry_after: Duration::from_secs(3) };
    let error = acquire_error(busy, &[key("v2"), key("v1"), key("v3")], &snapshot);
    assert_eq!(error.status(), 503);
    let ApiError::ModelUnavailable { attempts, .. } = error else { panic!("another error") };
    let reasons: Vec<_> =
        attempts.iter().map(|attempt| (attempt.version.as_str(), attempt.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [("whisper@v2", "HubUnavailable"), ("whisper@v1", "Downloading"), ("whisper@v3", "Unknown")]
    );
}

#[test]
fn routing_errors_are_the_clients() {
    let unknown = RouteError::UnknownModel { model: "x".to_owned(), known: vec!["whisper".to_owned()] };
    assert_eq!(acquire_error(unknown.into(), &[], &Snapshot::default()).status(), 404);
    let pair = RouteError::LanguagePairNeeded { model: "x".to_owned(), known: Vec::new() };
    assert_eq!(route_error(pair).status(), 400);
    assert_eq!(acquire_error(AcquireError::ShuttingDown, &[], &Snapshot::default()).status(), 503);
}
