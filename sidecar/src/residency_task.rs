//! One task owns the residency state machine, feeds it events and carries out its effects. Nothing here decides.

mod observe;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use ostler_crds::serving_plan::ServingPlan;
use ostler_crds::status::FailureLocation;
use ostler_inference::engine::Engine;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::lease::{Fallback, Lease, Provenance};
use crate::loader::{Loader, Prepared, Transferred};
use crate::pool::{Slots, panic_message};
use crate::progress::Meter;
use crate::residency::{Attempt, Effect, EntryId, Event, Moment, Refusal, Residency, Settings, WaiterId};
use crate::snapshot::Snapshot;
use crate::target::{Target, VersionFailure, VersionKey, targets};
use observe::{Sources, observe};

/// How often running transfers are measured and told of.
const TRANSFER_INTERVAL: Duration = Duration::from_millis(500);

/// What the task is told.
pub(crate) enum Command {
    /// A request wants the first of these that can serve.
    Acquire {
        waiter: WaiterId,
        candidates: Vec<VersionKey>,
        planned_pin_only: bool,
        reply: oneshot::Sender<Result<Lease, Refusal>>,
    },
    /// A request no longer waits.
    Cancel(WaiterId),
    /// Another plan is to be obeyed.
    Plan(Arc<ServingPlan>),
    /// A lease was given back.
    Released(EntryId),
    /// A preparation ended.
    Prepared { entry: EntryId, attempt: Attempt, outcome: Result<Prepared, VersionFailure> },
    /// A load ended.
    Loaded { entry: EntryId, attempt: Attempt, outcome: Result<Arc<dyn Engine>, VersionFailure> },
    /// An engine's memory is free.
    Freed(EntryId),
}

/// Starts the task. It ends when every sender, those in leases too, is gone.
pub(crate) fn start(
    loader: Arc<dyn Loader>,
    settings: Settings,
    plan: Arc<ServingPlan>,
) -> (mpsc::UnboundedSender<Command>, watch::Receiver<Arc<Snapshot>>) {
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
        targets: HashMap::new(),
        plan_generation: 0,
        least_percent: 0,
        budget_bytes: settings.budget.bytes,
        snapshots: watch::Sender::new(Arc::new(Snapshot::default())),
    };
    task.hear(Command::Plan(plan));
    let snapshots = task.snapshots.subscribe();
    tokio::spawn(task.run(received));
    (commands, snapshots)
}

/// The latest word of a running transfer, written by its thread and read at each interval.
#[derive(Default)]
struct TransferCell {
    total_bytes: AtomicU64,
    completed_bytes: AtomicU64,
}

struct Transfer {
    attempt: Attempt,
    abort: AbortHandle,
    cell: Arc<TransferCell>,
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
    replies: HashMap<WaiterId, oneshot::Sender<Result<Lease, Refusal>>>,
    transfers: HashMap<EntryId, Transfer>,
    meters: HashMap<EntryId, Meter>,
    prepared: HashMap<EntryId, Prepared>,
    engines: HashMap<EntryId, Loaded>,
    targets: HashMap<EntryId, Target>,
    plan_generation: i64,
    least_percent: u8,
    budget_bytes: u64,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Task {
    async fn run(mut self, mut received: mpsc::UnboundedReceiver<Command>) {
        let mut interval = tokio::time::interval(TRANSFER_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
            };
            if is_changed {
                wake = self.wake();
            }
        }
        for transfer in self.transfers.values() {
            transfer.abort.abort();
        }
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
            Command::Acquire { waiter, candidates, planned_pin_only, reply } => {
                self.replies.insert(waiter, reply);
                self.feed(Event::Wanted { waiter, candidates, planned_pin_only })
            }
            Command::Cancel(waiter) => {
                self.replies.remove(&waiter);
                self.feed(Event::Cancelled { waiter })
            }
            Command::Plan(plan) => {
                self.plan_generation = plan.generation;
                self.least_percent = 0;
                self.feed(Event::Planned { targets: targets(&plan) })
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
            Command::Loaded { entry, attempt, outcome } => match outcome {
                Ok(engine) => {
                    let instances = self.targets.get(&entry).map_or(1, |target| target.instances);
                    self.engines.insert(entry, Loaded { engine, slots: Arc::new(Slots::new(instances)) });
                    self.feed(Event::Loaded { entry, attempt })
                }
                Err(failure) => self.feed_failure(entry, attempt, failure),
            },
            Command::Freed(entry) => self.feed(Event::Freed { entry }),
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
        let effects = self.residency.handle(event, self.now());
        // The way of a warm request: granted at once, given back, and nothing else moves.
        let is_warm = match effects.as_slice() {
            [] => is_release,
            [Effect::Grant { .. }] => is_request,
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

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Prepare { entry, attempt, target } => self.prepare(entry, attempt, target),
            Effect::CancelPrepare { entry } => {
                if let Some(transfer) = self.transfers.remove(&entry) {
                    transfer.abort.abort();
                }
            }
            Effect::Load { entry, attempt, target } => self.load(entry, attempt, target),
            Effect::Resize { entry, instances } => {
                if let Some(loaded) = self.engines.get(&entry) {
                    loaded.slots.resize(instances);
                }
            }
            Effect::Unload { entry } => self.unload(entry),
            Effect::Forget { entry } => {
                self.prepared.remove(&entry);
                self.meters.remove(&entry);
                self.targets.remove(&entry);
            }
            Effect::Grant { waiter, entry, instead_of } => self.grant(waiter, entry, instead_of),
            Effect::Refuse { waiter, refusal } => {
                if let Some(reply) = self.replies.remove(&waiter) {
                    // Whoever has gone away needs no answer.
                    let _ = reply.send(Err(refusal));
                }
            }
        }
    }

    fn prepare(&mut self, entry: EntryId, attempt: Attempt, target: Target) {
        let Some(commands) = self.commands.upgrade() else { return };
        tracing::info!(version = %target.key, source = %target.source, "fetching");
        let cell = Arc::new(TransferCell::default());
        let written = Arc::clone(&cell);
        let on_transfer = Arc::new(move |transferred: Transferred| {
            written.total_bytes.store(transferred.total_bytes, Ordering::Relaxed);
            written.completed_bytes.store(transferred.completed_bytes, Ordering::Relaxed);
        });
        let preparing = self.loader.prepare(&target, on_transfer);
        self.targets.insert(entry, target);
        self.meters.insert(entry, Meter::default());
        let task = tokio::spawn(async move {
            let outcome = AssertUnwindSafe(preparing).catch_unwind().await.unwrap_or_else(|panic| {
                Err(broke_down(FailureLocation::Download, &panic_message(panic.as_ref())))
            });
            // The task has ended together with every user where this fails.
            let _ = commands.send(Command::Prepared { entry, attempt, outcome });
        });
        self.transfers.insert(entry, Transfer { attempt, abort: task.abort_handle(), cell });
    }

    fn load(&mut self, entry: EntryId, attempt: Attempt, target: Target) {
        let (Some(commands), Some(prepared)) = (self.commands.upgrade(), self.prepared.get(&entry).cloned())
        else {
            return;
        };
        tracing::info!(version = %target.key, revision = prepared.revision, "loading");
        self.targets.insert(entry, target.clone());
        let loader = Arc::clone(&self.loader);
        tokio::task::spawn_blocking(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| loader.load(&target, &prepared)));
            let outcome = outcome.unwrap_or_else(|panic| {
                Err(broke_down(FailureLocation::Load, &panic_message(panic.as_ref())))
            });
            let _ = commands.send(Command::Loaded { entry, attempt, outcome });
        });
    }

    fn unload(&mut self, entry: EntryId) {
        let (Some(commands), Some(loaded)) = (self.commands.upgrade(), self.engines.remove(&entry)) else {
            return;
        };
        if let Some(target) = self.targets.get(&entry) {
            tracing::info!(version = %target.key, "unloading");
        }
        // Returning gigabytes to the system takes a while.
        tokio::task::spawn_blocking(move || {
            drop(loaded);
            let _ = commands.send(Command::Freed(entry));
        });
    }

    fn grant(&mut self, waiter: WaiterId, entry: EntryId, instead_of: Option<(VersionKey, VersionFailure)>) {
        let Some(reply) = self.replies.remove(&waiter) else {
            // The caller went away in this very moment.
            self.feed(Event::Released { entry });
            return;
        };
        let (Some(commands), Some(loaded), Some(target)) =
            (self.commands.upgrade(), self.engines.get(&entry), self.targets.get(&entry))
        else {
            return;
        };
        let provenance = Provenance {
            model: target.key.model.clone(),
            version: target.key.version.clone(),
            language_pair: target.key.language_pair.clone(),
            revision: self.revision(entry),
            dtype: self.loader.dtype(target),
            fallback: instead_of.map(|(key, failure)| Fallback {
                chosen: key.version,
                reason: failure.reason,
                message: failure.message,
            }),
        };
        let release = move || {
            let _ = commands.send(Command::Released(entry));
        };
        let lease = Lease::new(provenance, Arc::clone(&loaded.engine), Arc::clone(&loaded.slots), release);
        // A lease that nobody takes gives itself back.
        let _ = reply.send(Ok(lease));
    }

    fn revision(&self, entry: EntryId) -> String {
        self.prepared.get(&entry).map(|prepared| prepared.revision.clone()).unwrap_or_default()
    }

    /// Reads the running transfers' latest words.
    fn measure(&mut self) {
        let now = self.now();
        for (entry, transfer) in &self.transfers {
            let transferred = Transferred {
                total_bytes: transfer.cell.total_bytes.load(Ordering::Relaxed),
                completed_bytes: transfer.cell.completed_bytes.load(Ordering::Relaxed),
            };
            if transferred.total_bytes > 0 {
                self.meters.entry(*entry).or_default().record(now, transferred);
            }
        }
    }

    fn publish(&mut self) {
        let snapshot = observe(&Sources {
            residency: &self.residency,
            meters: &self.meters,
            prepared: &self.prepared,
            started_at: self.started_at,
            plan_generation: self.plan_generation,
            budget_bytes: self.budget_bytes,
            least_percent: self.least_percent,
        });
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

fn broke_down(location: FailureLocation, message: &str) -> VersionFailure {
    VersionFailure {
        location,
        reason: "Panicked".to_owned(),
        message: format!("the loader broke down: {message}"),
        retryable: true,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests;
