use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::fixtures::{commit, not_found};

/// A Hub that counts its questions and knows repositories that begin with `good`.
#[derive(Default)]
struct Counting {
    asked: AtomicUsize,
}

impl ResolveRevision for Counting {
    fn resolve<'a>(
        &'a self,
        repository: &'a RepositoryId,
        _: &'a Revision,
    ) -> BoxFuture<'a, Result<Commit, ResolveFailure>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let good = repository.name().starts_with("good");
        Box::pin(async move { if good { Ok(commit('1').parse().unwrap()) } else { Err(not_found()) } })
    }
}

fn question(name: &str) -> Question {
    (format!("a/{name}").parse().unwrap(), Revision::main())
}

#[tokio::test]
async fn a_failure_is_remembered_and_an_answer_is_not() {
    let counting = Arc::new(Counting::default());
    let hub = Hub::new(Arc::clone(&counting) as Arc<dyn ResolveRevision>, Arc::new(Metrics::new().unwrap()));
    let questions = BTreeSet::from([question("good"), question("bad")]);
    let (answers, pause) = hub.resolve(questions.clone()).await;
    assert!(answers[&question("good")].is_ok());
    assert_eq!(answers[&question("bad")], Err(not_found()));
    assert!(pause.unwrap() > Duration::from_secs(200), "{pause:?}");
    assert_eq!(counting.asked.load(Ordering::SeqCst), 2);
    // The commit lives in the plan: whoever asks again wants to know anew. The failure is still the same.
    assert_eq!(hub.resolve(questions).await.0, answers);
    assert_eq!(counting.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn nothing_to_ask_is_nothing_to_wait_for() {
    let hub = Hub::new(Arc::new(Counting::default()), Arc::new(Metrics::new().unwrap()));
    assert_eq!(hub.resolve(BTreeSet::new()).await, (Resolutions::new(), None));
}

/// A Hub that never answers about repositories that begin with `silent`.
struct Silent;

impl ResolveRevision for Silent {
    fn resolve<'a>(
        &'a self,
        repository: &'a RepositoryId,
        _: &'a Revision,
    ) -> BoxFuture<'a, Result<Commit, ResolveFailure>> {
        let silent = repository.name().starts_with("silent");
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            Ok(commit('1').parse().unwrap())
        })
    }
}

#[tokio::test]
async fn a_silent_hub_holds_up_the_rest_only_so_long() {
    let mut hub = Hub::new(Arc::new(Silent), Arc::new(Metrics::new().unwrap()));
    hub.longest_round = Duration::from_millis(50);
    let (answers, pause) = hub.resolve(BTreeSet::from([question("good"), question("silent")])).await;
    assert!(answers[&question("good")].is_ok());
    let failure = answers[&question("silent")].clone().unwrap_err();
    assert_eq!((failure.reason.as_str(), failure.retryable), ("HubUnavailable", true));
    assert!(pause.is_some_and(|pause| pause > Duration::from_secs(1)));
    // Until it is time to ask again, nobody waits for it.
    hub.longest_round = Duration::from_secs(3600);
    assert_eq!(hub.resolve(BTreeSet::from([question("silent")])).await.0[&question("silent")], Err(failure));
}

#[test]
fn pauses_double_up_to_a_minute_and_honour_the_hub() {
    let failure =
        |retryable, retry_after_seconds| ResolveFailure { retryable, retry_after_seconds, ..not_found() };
    let seconds = |failure: &ResolveFailure, attempts| pause(failure, attempts, 1.0).as_secs();
    let passing = failure(true, None);
    let pauses: Vec<u64> = (0..7).map(|attempts| seconds(&passing, attempts)).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(seconds(&passing, 1000), 60);
    assert_eq!(seconds(&failure(true, Some(120)), 0), 120);
    assert_eq!(seconds(&failure(true, Some(1)), 3), 16);
    assert_eq!(seconds(&failure(true, Some(1_000_000)), 0), 900);
    assert_eq!(seconds(&failure(false, None), 0), 300);
}
