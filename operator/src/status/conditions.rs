//! The conditions. `Ready`, `Reconciling` and `Stalled` mean what kstatus takes them for: `Stalled` and `Reconciling`
//! are true only while they hold, and at most one of the three is.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use ostler_crds::status::condition;

use super::facts::Facts;
use super::text::{first_three, tidy};
use crate::outcome::{Outcome, Progressed};

/// What one condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    status: &'static str,
    reason: String,
    message: String,
}

fn verdict(status: &'static str, reason: &str, message: impl Into<String>) -> Verdict {
    Verdict { status, reason: reason.to_owned(), message: message.into() }
}

/// All conditions, in a fixed order.
pub(super) fn conditions(
    facts: &Facts,
    outcome: &Outcome,
    before: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let available = available(facts);
    let pinned = versions_pinned(facts, outcome);
    let loaded = models_loaded(facts);
    let ready = ready(facts, outcome, &available, &pinned, &loaded);
    let stalled = match outcome {
        Outcome::Stalled(problem) => verdict("True", problem.reason, problem.message.as_str()),
        Outcome::Applied(_) | Outcome::Failed(_) => verdict("False", "NotStalled", ""),
    };
    let reconciling = match (outcome, ready.status) {
        (Outcome::Stalled(_), _) => verdict("False", "Stalled", "waits for a change"),
        (_, "True") => verdict("False", "UpToDate", ""),
        _ => Verdict { status: "True", ..ready.clone() },
    };
    let degraded = degraded(facts, outcome);
    [
        (condition::READY, ready),
        (condition::RECONCILING, reconciling),
        (condition::STALLED, stalled),
        (condition::AVAILABLE, available),
        (condition::VERSIONS_PINNED, pinned),
        (condition::MODELS_LOADED, loaded),
        (condition::DEGRADED, degraded),
    ]
    .map(|(kind, verdict)| dated(kind, verdict, before, generation, now))
    .into()
}

/// A condition whose status has not changed keeps the time of its last transition.
fn dated(kind: &str, verdict: Verdict, before: &[Condition], generation: i64, now: Timestamp) -> Condition {
    let same = before.iter().find(|known| known.type_ == kind && known.status == verdict.status);
    // Kubernetes keeps whole seconds.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Condition {
        type_: kind.to_owned(),
        status: verdict.status.to_owned(),
        reason: reason_word(&verdict.reason),
        message: tidy(&verdict.message),
        observed_generation: Some(generation),
        last_transition_time: same.map_or(Time(now), |known| known.last_transition_time.clone()),
    }
}

/// A reason that came from elsewhere may be none of the words that the API server takes.
fn reason_word(reason: &str) -> String {
    let word: String = reason.chars().filter(char::is_ascii_alphanumeric).take(128).collect();
    if word.starts_with(|first: char| first.is_ascii_alphabetic()) { word } else { "Unknown".to_owned() }
}

fn available(facts: &Facts) -> Verdict {
    let pods = format!("{} of {} pods are ready", facts.ready, facts.desired);
    if facts.ready > 0 {
        return verdict("True", "PodsReady", pods);
    }
    if facts.desired == 0 {
        return verdict("False", "ScaledToZero", "no pods are asked for");
    }
    verdict("False", "NoPodReady", with_problems(pods, facts))
}

fn with_problems(words: String, facts: &Facts) -> String {
    if facts.problems.is_empty() { words } else { format!("{words}; {}", facts.problems) }
}

fn versions_pinned(facts: &Facts, outcome: &Outcome) -> Verdict {
    if !facts.planned {
        return verdict("Unknown", "NotPlanned", "no plan has been made yet");
    }
    if let Outcome::Applied(progressed) = outcome
        && let Progressed { pins, .. } = progressed.as_ref()
        && let Some(first) = pins.failures.first()
    {
        let words: Vec<String> = pins
            .failures
            .iter()
            .map(|failed| {
                let older = if failed.served_by_older { " (the pin before it serves)" } else { "" };
                format!("{}: {}{older}", failed.key, failed.failure.message)
            })
            .collect();
        return verdict("False", &first.failure.reason, first_three(&words));
    }
    if !facts.unpinned.is_empty() {
        return verdict("False", "Unpinned", format!("without a commit: {}", first_three(&facts.unpinned)));
    }
    verdict("True", "Pinned", format!("sets of files that are pinned: {}", facts.artifacts))
}

fn models_loaded(facts: &Facts) -> Verdict {
    if !facts.planned {
        return verdict("Unknown", "NotPlanned", "no plan has been made yet");
    }
    if facts.preloaded.is_empty() {
        return verdict(
            "True",
            "NothingToPreload",
            "every model is loaded when the first request asks for it",
        );
    }
    if facts.desired == 0 {
        return verdict("True", "ScaledToZero", "no pods are asked for");
    }
    if facts.not_loaded.is_empty() {
        return verdict("True", "Loaded", "every preloaded version is loaded in every ready pod");
    }
    let failed: Vec<String> = facts
        .failed
        .iter()
        .filter(|(name, _)| facts.not_loaded.contains(name))
        .map(|(name, failure)| format!("{name}: {failure}"))
        .collect();
    if !failed.is_empty() {
        return verdict("False", "FailedToLoad", first_three(&failed));
    }
    let waiting = first_three(&facts.not_loaded);
    if facts.ready == 0 {
        return verdict("False", "NoPodReady", format!("no ready pod has loaded {waiting}"));
    }
    verdict("False", "Loading", format!("not loaded in every ready pod yet: {waiting}"))
}

fn degraded(facts: &Facts, outcome: &Outcome) -> Verdict {
    if !facts.failed.is_empty() {
        let words: Vec<String> =
            facts.failed.iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
        return verdict("True", "VersionFailed", first_three(&words));
    }
    if let Outcome::Applied(progressed) = outcome
        && let Progressed { pins, .. } = progressed.as_ref()
        && !pins.failures.is_empty()
    {
        let names: Vec<String> = pins.failures.iter().map(|failed| failed.key.to_string()).collect();
        return verdict(
            "True",
            "VersionNotPinned",
            format!("not at the revision asked for: {}", first_three(&names)),
        );
    }
    verdict("False", "AsAsked", "")
}

fn ready(
    facts: &Facts,
    outcome: &Outcome,
    available: &Verdict,
    pinned: &Verdict,
    loaded: &Verdict,
) -> Verdict {
    match outcome {
        Outcome::Stalled(problem) | Outcome::Failed(problem) => {
            verdict("False", problem.reason, problem.message.as_str())
        }
        Outcome::Applied(_) if !facts.rolled_out => {
            let pods = format!(
                "{} of {} pods are up to date and ready",
                facts.ready.min(facts.desired),
                facts.desired
            );
            let reason = if available.status == "True" { "RollingOut" } else { "PodsNotReady" };
            let words = with_problems(pods, facts);
            // A pod that waits for a model which cannot load looks healthy to Kubernetes: only its report says why.
            let words = match loaded.reason.as_str() {
                "FailedToLoad" => format!("{words}; {}", loaded.message),
                _ => words,
            };
            verdict("False", reason, words)
        }
        Outcome::Applied(_) if loaded.status != "True" => {
            verdict("False", "ModelsNotLoaded", loaded.message.as_str())
        }
        Outcome::Applied(_) if facts.behind > 0 => {
            let pods = format!("ready pods that have not taken up the newest plan yet: {}", facts.behind);
            verdict("False", "PlanNotObeyed", pods)
        }
        Outcome::Applied(_) if pinned.status != "True" => {
            verdict("False", "VersionsNotPinned", pinned.message.as_str())
        }
        Outcome::Applied(progressed) if !progressed.waiting.is_empty() => {
            let waiting: Vec<String> =
                progressed.waiting.iter().map(|one| format!("{} ({} %)", one.version, one.percent)).collect();
            verdict("False", "WeightsWaiting", format!("traffic waits for {}", first_three(&waiting)))
        }
        Outcome::Applied(_) => {
            verdict("True", "Ready", format!("{} of {} pods are ready", facts.ready, facts.desired))
        }
    }
}
