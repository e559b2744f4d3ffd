use std::time::Duration;

use ostler_crds::status::FailureLocation;

use super::*;
use crate::target::VersionKey;

fn failed(version: &str, location: FailureLocation, reason: &str) -> FailedAttempt {
    let key = VersionKey {
        model: "whisper".parse().unwrap(),
        version: version.parse().unwrap(),
        language_pair: None,
        retired: None,
    };
    let failure = VersionFailure {
        location,
        reason: reason.to_owned(),
        message: "it does not work".to_owned(),
        retryable: location != FailureLocation::Load,
        retry_after: None,
    };
    FailedAttempt { key, failure }
}

#[test]
fn a_refusal_lists_each_attempt_with_where_and_why_it_failed() {
    let attempts = vec![
        failed("v2", FailureLocation::Load, "Corrupted"),
        failed("v1", FailureLocation::Memory, "MemoryInUse"),
    ];
    let key = attempts[0].key.clone();
    let busy = AcquireError::Busy {
        key: key.clone(),
        attempts: attempts.clone(),
        retry_after: Duration::from_secs(3),
    };
    let failed = AcquireError::Unavailable { key, attempts, retry_after: None };
    for (error, after) in [(busy, Duration::from_secs(3)), (failed, AFTER_A_CHANGE)] {
        let error = acquire_error(error);
        assert_eq!((error.status().as_u16(), error.kind()), (503, "ModelUnavailable"));
        let ApiError::ModelUnavailable { attempts, retry_after, .. } = error else { panic!("another error") };
        assert_eq!(retry_after, after);
        assert_eq!(
            serde_json::to_value(attempts).unwrap(),
            serde_json::json!([
                {"version": "whisper@v2", "location": "Load", "reason": "Corrupted",
                 "message": "it does not work", "retryable": false},
                {"version": "whisper@v1", "location": "Memory", "reason": "MemoryInUse",
                 "message": "it does not work", "retryable": true},
            ])
        );
    }
}

#[test]
fn routing_errors_are_the_clients() {
    let unknown = RouteError::UnknownModel { model: "x".to_owned(), known: vec!["whisper".to_owned()] };
    assert_eq!(acquire_error(unknown.into()).status(), 404);
    let pair = RouteError::LanguagePairNeeded { model: "x".to_owned(), known: Vec::new() };
    assert_eq!(route_error(pair).status(), 400);
    assert_eq!(acquire_error(AcquireError::ShuttingDown).status(), 503);
}
