use std::sync::mpsc;

use ostler_inference::engine::{ClassifyJob, LabelScore};

use super::*;

const TOGETHER: Batching = Batching { most_texts: 4, most_delay: Duration::ZERO };

/// Labels each text with itself, once it is allowed to; notes what it was asked.
struct Labeller {
    asked: Mutex<Vec<Vec<String>>>,
    allowed: Mutex<mpsc::Receiver<()>>,
    cancelled: AtomicUsize,
}

impl Engine for Labeller {
    fn run(&self, job: &Job, control: &Control) -> Result<Output, EngineError> {
        let texts = batch::texts(job).to_vec();
        lock(&self.asked).push(texts.clone());
        while lock(&self.allowed).recv_timeout(Duration::from_millis(1)).is_err() {
            if let Err(cancelled) = control.check() {
                self.cancelled.fetch_add(1, Ordering::AcqRel);
                return Err(cancelled);
            }
        }
        if texts.iter().any(|text| text == "refused") {
            let message = "a text is refused".to_owned();
            return Err(EngineError::InvalidInput { parameter: "texts", message });
        }
        assert!(!texts.iter().any(|text| text == "panic"), "a text broke it");
        let label = |text: String| vec![LabelScore { label: text, score: 1.0 }];
        Ok(Output::Labels(texts.into_iter().map(label).collect()))
    }

    fn canary(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[derive(Clone)]
struct Guard(Arc<Labeller>);

impl AsRef<dyn Engine> for Guard {
    fn as_ref(&self) -> &(dyn Engine + 'static) {
        self.0.as_ref()
    }
}

struct Rig {
    slots: Arc<Slots>,
    engine: Arc<Labeller>,
    allow: mpsc::Sender<()>,
}

impl Rig {
    fn new(batching: Batching) -> Self {
        let (allow, allowed) = mpsc::channel();
        let engine = Labeller {
            asked: Mutex::default(),
            allowed: Mutex::new(allowed),
            cancelled: AtomicUsize::new(0),
        };
        Self { slots: Arc::new(Slots::new(1, batching)), engine: Arc::new(engine), allow }
    }

    /// Asks for a text's label, and waits until the job is in the queue or at work.
    async fn ask(&self, text: &str) -> tokio::task::JoinHandle<Result<String, RunError>> {
        let (slots, guard) = (Arc::clone(&self.slots), Guard(Arc::clone(&self.engine)));
        let job = Job::Classify(ClassifyJob { texts: vec![text.to_owned()] });
        let asked = tokio::spawn(async move {
            match slots.run(guard, job, Control::default()).await? {
                Output::Labels(labels) => Ok(labels[0][0].label.clone()),
                other => panic!("{other:?}"),
            }
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        asked
    }

    fn allow(&self, jobs: usize) {
        (0..jobs).for_each(|_| self.allow.send(()).unwrap());
    }

    fn asked(&self) -> Vec<Vec<String>> {
        lock(&self.engine.asked).clone()
    }

    /// Waits until the engine was asked so often.
    async fn is_asked(&self, times: usize) {
        while self.asked().len() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn those_that_wait_are_done_as_one_and_get_their_own_answers() {
    let rig = Rig::new(TOGETHER);
    let mut asked = vec![rig.ask("a").await];
    rig.is_asked(1).await;
    for text in ["b", "c", "d", "e", "f"] {
        asked.push(rig.ask(text).await);
    }
    rig.allow(3);
    for (asked, text) in asked.into_iter().zip(["a", "b", "c", "d", "e", "f"]) {
        assert_eq!(asked.await.unwrap().unwrap(), text);
    }
    assert_eq!(rig.asked(), [vec!["a"], vec!["b", "c", "d", "e"], vec!["f"]]);
}

#[tokio::test]
async fn each_is_done_alone_where_the_plan_says_so() {
    let rig = Rig::new(Batching::ALONE);
    let asked = [rig.ask("a").await, rig.ask("b").await, rig.ask("c").await];
    rig.allow(3);
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(rig.asked(), [["a"], ["b"], ["c"]]);
}

#[tokio::test]
async fn what_one_is_refused_for_the_others_do_not_hear_of() {
    for (bad, expected) in [("refused", "a text is refused"), ("panic", "a text broke it")] {
        let rig = Rig::new(TOGETHER);
        let first = rig.ask("a").await;
        rig.is_asked(1).await;
        let (good, bad, other) = (rig.ask("b").await, rig.ask(bad).await, rig.ask("c").await);
        rig.allow(5);
        assert_eq!(first.await.unwrap().unwrap(), "a");
        assert_eq!(good.await.unwrap().unwrap(), "b");
        assert_eq!(other.await.unwrap().unwrap(), "c");
        let error = bad.await.unwrap().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_job_for_several_ends_with_the_last_who_wants_it() {
    let rig = Rig::new(TOGETHER);
    let first = rig.ask("a").await;
    rig.is_asked(1).await;
    let (leader, other) = (rig.ask("b").await, rig.ask("c").await);
    rig.allow(1);
    first.await.unwrap().unwrap();
    rig.is_asked(2).await;
    // The one whose slot it is goes away, and the other gets the answer.
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    rig.allow(1);
    assert_eq!(other.await.unwrap().unwrap(), "c");
    assert_eq!(rig.engine.cancelled.load(Ordering::Acquire), 0);

    let asked = [rig.ask("d").await, rig.ask("e").await];
    rig.is_asked(3).await;
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    while rig.engine.cancelled.load(Ordering::Acquire) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The slot is free again, and nobody is left in the queue.
    rig.allow(1);
    assert_eq!(rig.ask("f").await.await.unwrap().unwrap(), "f");
    assert_eq!(rig.asked().last().unwrap(), &["f"]);
}

#[tokio::test]
async fn only_those_who_follow_others_wait() {
    let rig = Rig::new(Batching { most_texts: 4, most_delay: Duration::from_secs(600) });
    // Nobody else is there, so this returns long before the delay.
    rig.allow(1);
    assert_eq!(rig.ask("a").await.await.unwrap().unwrap(), "a");
    let first = rig.ask("b").await;
    rig.is_asked(2).await;
    let others = [rig.ask("c").await, rig.ask("d").await];
    rig.allow(2);
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    // Two were done together, so the next waits for three more.
    let mut back = vec![rig.ask("e").await];
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(rig.asked().len(), 3);
    for text in ["f", "g", "h"] {
        back.push(rig.ask(text).await);
    }
    rig.allow(1);
    for asked in back {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(rig.asked()[3], ["e", "f", "g", "h"]);
}
