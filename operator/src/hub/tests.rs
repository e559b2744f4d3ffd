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
