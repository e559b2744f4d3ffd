//! One task owns the residency state machine, feeds it events and carries out its effects. Nothing here decides.

mod command;
mod effects;
mod foresight;
mod measuring;
mod observe;
mod transfer;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ostler_crds::serving_plan::ServingPlan;
use ostler_inference::engine::{Engine, SpokenLanguages};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::lease::Lease;
use crate::loader::{Loader, Prepared};
use crate::memory_watch::MemoryWatch;
use crate::pool::Slots;
use crate::prediction::Asker;
use crate::progress::Meter;
use crate::residency::{
    Attempt, Budget, Effect, EntryId, Event, Moment, RealMemory, Refusal, Residency, Settings, WaiterId,
};
use crate::result_cache::planned_bytes;
use crate::snapshot::Snapshot;
use crate::target::{Batching, Target, VersionFailure, targets};
pub(crate) use command::Command;
use foresight::{Foresight, LOOK_INTERVAL};
use measuring::measure_memory;
use observe::{Sources, observe};
use transfer::Transfer;

/// How often running transfers are measured and told of.
const TRANSFER_INTERVAL: Duration = Duration::from_millis(500);

/// The ways to and from a running task.
pub(crate) struct Channels {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The last measurement of memory, where there is one.
    pub(crate) memory: watch::Receiver<Option<RealMemory>>,
}

/// Starts the task. It ends when every sender, those in leases too, is gone.
pub(crate) fn start(
    loader: Arc<dyn Loader>,
    settings: Settings,
    plan: Arc<ServingPlan>,
    memory_watch: Option<MemoryWatch>,
) -> Channels {
    let (commands, received) = mpsc::unbounded_channel();
    let mut task = Task {
        residency: Residency::new(settings),
        loader,
        commands: commands.downgrade(),
        started: Instant::now(),
        started_at: Timestamp::now(),
        replies: HashMap::new(),
        transfers: HashMap::new(),
        meters: HashMap::new(),
        prepared: HashMap::new(),
        engines: HashMap::new(),
        languages: HashMap::new(),
        unproved: HashSet::new(),
        percents: HashMap::new(),
        targets: HashMap::new(),
        plan_generation: 0,
        least_percent: 0,
        budget: settings.budget,
        set_aside_bytes: 0,
        snapshots: watch::Sender::new(Arc::new(Snapshot::default())),
        memory: watch::Sender::new(None),
        foresight: Foresight::default(),
    };
    task.hear(Command::Plan(plan));
    let (snapshots, memory) = (task.snapshots.subscribe(), task.memory.subscribe());
    tokio::spawn(task.run(received));
    if let Some(memory_watch) = memory_watch {
        tokio::spawn(measure_memory(memory_watch, commands.downgrade()));
    }
    Channels { commands, snapshots, memory }
}

/// A request that waits for its answer.
struct Asking {
    asker: Option<Asker>,
    reply: oneshot::Sender<Result<Lease, Refusal>>,
}

struct Loaded {
    engine: Arc<dyn Engine>,
    slots: Arc<Slots>,
}

struct Task {
    residency: Residency,
    loader: Arc<dyn Loader>,
    /// Weak, so that the task ends with its last user.
    commands: mpsc::WeakUnboundedSender<Command>,
    started: Instant,
    started_at: Timestamp,
    replies: HashMap<WaiterId, Asking>,
    transfers: HashMap<EntryId, Transfer>,
    meters: HashMap<EntryId, Meter>,
    prepared: HashMap<EntryId, Prepared>,
    engines: HashMap<EntryId, Loaded>,
    /// What loaded models said, which stays true while their files are the same.
    languages: HashMap<EntryId, Arc<SpokenLanguages>>,
    /// What is in memory and not proved yet.
    unproved: HashSet<EntryId>,
    /// How far each entry is on its way into memory.
    percents: HashMap<EntryId, u8>,
    targets: HashMap<EntryId, Target>,
    plan_generation: i64,
    least_percent: u8,
    /// Of everything.
    budget: Budget,
    /// What of it is for the answers that are kept.
    set_aside_bytes: u64,
    snapshots: watch::Sender<Arc<Snapshot>>,
    memory: watch::Sender<Option<RealMemory>>,
    foresight: Foresight,
}

impl Task {
    async fn run(mut self, mut received: mpsc::UnboundedReceiver<Command>) {
        let mut interval = tokio::time::interval(TRANSFER_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wake = self.wake();
        loop {
            let is_changed = tokio::select! {
                command = received.recv() => match command {
                    Some(command) => self.hear(command),
                    None => break,
                },
                () = sleep_until(wake), if wake.is_some() => self.feed(Event::Tick),
                _ = interval.tick(), if !self.transfers.is_empty() => {
                    self.measure();
                    self.publish();
                    false
                }
                _ = look.tick(), if self.foresight.is_on() => self.foresee(),
            };
            let is_changed = self.foresee_if_due() || is_changed;
            if is_changed {
                wake = self.wake();
            }
        }
        self.transfers.values().for_each(Transfer::stop);
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    fn wake(&self) -> Option<Instant> {
        self.residency.next_wake(self.now()).map(|moment| self.started + moment)
    }

    /// Turns a command into an event. Says whether anything changed that others can see or wait for.
    fn hear(&mut self, command: Command) -> bool {
        match command {
            Command::Acquire { waiter, candidates, planned_pin_only, asker, reply } => {
                self.replies.insert(waiter, Asking { asker, reply });
                self.feed(Event::Wanted { waiter, candidates, planned_pin_only })
            }
            Command::Cancel(waiter) => {
                self.replies.remove(&waiter);
                self.feed(Event::Cancelled { waiter })
            }
            Command::Heard { cue, asker, is_first } => {
                let now = self.wall_time();
                self.foresight.heard(cue, asker, is_first, now);
                false
            }
            Command::Plan(plan) => {
                self.plan_generation = plan.generation;
                self.least_percent = 0;
                self.set_aside_bytes = planned_bytes(&plan);
                let models_bytes = self.budget.bytes.saturating_sub(self.set_aside_bytes);
                self.residency.set_budget(Budget { bytes: models_bytes, ..self.budget });
                let targets = targets(&plan);
                self.set_batching(&targets);
                let now = self.wall_time();
                self.foresight.obey(plan.preload_by_usage, &targets, now);
                self.feed(Event::Planned { targets })
            }
            Command::Released(entry) => self.feed(Event::Released { entry }),
            Command::Prepared { entry, attempt, outcome } => {
                if self.transfers.get(&entry).is_none_or(|transfer| transfer.attempt != attempt) {
                    // It was cancelled when its answer was on its way already.
                    return false;
                }
                self.measure();
                self.transfers.remove(&entry);
                match outcome {
                    Ok(prepared) => {
                        let footprint = prepared.footprint;
                        self.prepared.insert(entry, prepared);
                        self.feed(Event::Prepared { entry, attempt, footprint })
                    }
                    Err(failure) => self.feed_failure(entry, attempt, failure),
                }
            }
            Command::Proving(entry) => {
                self.unproved.insert(entry);
                self.publish();
                false
            }
            Command::Loaded { entry, attempt, outcome } => {
                self.foresight.look_again();
                self.end_load(entry, attempt, outcome)
            }
            Command::Freed(entry) => {
                self.foresight.look_again();
                self.feed(Event::Freed { entry })
            }
            Command::Measured(memory) => {
                self.memory.send_replace(Some(memory));
                self.feed(Event::Measured { memory })
            }
        }
    }

    fn end_load(
        &mut self,
        entry: EntryId,
        attempt: Attempt,
        outcome: Result<Arc<dyn Engine>, VersionFailure>,
    ) -> bool {
        self.unproved.remove(&entry);
        match outcome {
            Ok(engine) => {
                let target = self.targets.get(&entry);
                let instances = target.map_or(1, |target| target.instances);
                let batching = target.map_or(Batching::ALONE, |target| target.batching);
                if let Some(languages) = engine.spoken_languages() {
                    self.languages.insert(entry, Arc::new(languages));
                }
                self.engines
                    .insert(entry, Loaded { engine, slots: Arc::new(Slots::new(instances, batching)) });
                self.feed(Event::Loaded { entry, attempt })
            }
            Err(failure) => self.feed_failure(entry, attempt, failure),
        }
    }

    fn feed_failure(&mut self, entry: EntryId, attempt: Attempt, failure: VersionFailure) -> bool {
        if let Some(target) = self.targets.get(&entry) {
            tracing::warn!(version = %target.key, location = ?failure.location, reason = failure.reason, "{failure}");
        }
        self.feed(Event::Failed { entry, attempt, failure, jitter: rand::random() })
    }

    /// Carries out what an event leads to. Says whether anything changed that others can see or wait for.
    fn feed(&mut self, event: Event) -> bool {
        let is_request = matches!(event, Event::Wanted { .. });
        let is_release = matches!(event, Event::Released { .. });
        let measured = match &event {
            Event::Measured { memory } => Some(*memory),
            _ => None,
        };
        let is_anticipated = matches!(event, Event::Anticipated { .. });
        let failed = match &event {
            Event::Failed { entry, .. } => Some(*entry),
            _ => None,
        };
        let effects = self.residency.handle(event, self.now());
        let has_counted = self.count_ahead(is_anticipated, failed, &effects);
        if let (Some(memory), [Effect::Unload { .. }, ..]) = (measured, effects.as_slice()) {
            let RealMemory { free_bytes, limit_bytes, stalled_percent, .. } = memory;
            tracing::warn!(
                free_bytes,
                limit_bytes,
                stalled_percent,
                "memory runs out: idle versions leave early"
            );
        }
        // The way of a warm request: granted at once, given back, and nothing else moves; or a look at the memory.
        let is_warm = match effects.as_slice() {
            [] => is_release || is_anticipated || measured.is_some(),
            [Effect::Grant { .. }] => is_request && !has_counted,
            _ => false,
        };
        let is_answer = |effect: &Effect| matches!(effect, Effect::Grant { .. } | Effect::Refuse { .. });
        let (answers, works): (Vec<Effect>, Vec<Effect>) = effects.into_iter().partition(is_answer);
        for work in works {
            self.carry_out(work);
        }
        if !is_warm {
            // Whoever gets an answer must not see a snapshot from before it.
            self.publish();
        }
        for answer in answers {
            self.carry_out(answer);
        }
        !is_warm
    }

    /// Reads the running transfers' latest words.
    fn measure(&mut self) {
        let now = self.now();
        for (entry, transfer) in &self.transfers {
            let transferred = transfer.transferred();
            if transferred.total_bytes > 0 {
                self.meters.entry(*entry).or_default().record(now, transferred);
            }
        }
    }

    fn publish(&mut self) {
        let (snapshot, percents) = observe(&Sources {
            residency: &self.residency,
            meters: &self.meters,
            prepared: &self.prepared,
            languages: &self.languages,
            unproved: &self.unproved,
            percents: &self.percents,
            started_at: self.started_at,
            plan_generation: self.plan_generation,
            budget_bytes: self.budget.bytes,
            set_aside_bytes: self.set_aside_bytes,
            least_percent: self.least_percent,
            ahead: self.foresight.ahead(),
            predicted_loads: self.foresight.loads(),
        });
        self.percents = percents;
        self.least_percent = snapshot.progress_percent;
        self.snapshots.send_if_modified(|current| {
            let is_changed = **current != snapshot;
            if is_changed {
                *current = Arc::new(snapshot);
            }
            is_changed
        });
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
