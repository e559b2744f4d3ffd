//! Carries out what the residency state machine decides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use ostler_artifacts::work_behind_requests;
use ostler_crds::status::FailureLocation;
use ostler_inference::processor::stay_behind_jobs;

use super::transfer::{Transfer, TransferCell};
use super::{Asking, Command, Task};
use crate::lease::{Fallback, Lease, Provenance};
use crate::pool::panic_message;
use crate::progress::Meter;
use crate::residency::{Attempt, Effect, EntryId, Event, WaiterId};
use crate::target::{Target, VersionFailure, VersionKey};

impl Task {
    /// Works on requests of loaded versions together as another plan says. Nothing of what is loaded changes by it.
    pub(super) fn set_batching(&mut self, targets: &[Target]) {
        for (entry, target) in &mut self.targets {
            let Some(planned) = targets.iter().find(|planned| planned.key == target.key) else { continue };
            target.batching = planned.batching;
            if let Some(loaded) = self.engines.get(entry) {
                loaded.slots.set_batching(planned.batching);
            }
        }
    }

    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Prepare { entry, attempt, target } => self.prepare(entry, attempt, target),
            Effect::CancelPrepare { entry } => {
                if let Some(transfer) = self.transfers.remove(&entry) {
                    transfer.stop();
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
                self.languages.remove(&entry);
                self.meters.remove(&entry);
                self.targets.remove(&entry);
            }
            Effect::Grant { waiter, entry, instead_of } => self.grant(waiter, entry, instead_of),
            Effect::Refuse { waiter, refusal } => {
                if let Some(asking) = self.replies.remove(&waiter) {
                    // Whoever has gone away needs no answer.
                    let _ = asking.reply.send(Err(refusal));
                }
            }
        }
    }

    fn prepare(&mut self, entry: EntryId, attempt: Attempt, target: Target) {
        let Some(commands) = self.commands.upgrade() else { return };
        tracing::info!(version = %target.key, source = %target.source, "fetching");
        let cell = Arc::new(TransferCell::default());
        let preparing = self.loader.prepare(&target, cell.listener());
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
        let (loader, failed) = (Arc::clone(&self.loader), commands.clone());
        // A thread that has stepped behind requests stays there, so that none of the runtime's can be taken.
        let thread = std::thread::Builder::new().name("ostler-load".to_owned());
        let spawned = thread.spawn(move || {
            work_behind_requests();
            stay_behind_jobs();
            let started = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let engine = loader.load(&target, &prepared)?;
                // The task has ended together with every user where this fails.
                let _ = commands.send(Command::Proving(entry));
                loader.prove(engine.as_ref())?;
                Ok(engine)
            }));
            if let Ok(Ok(_)) = &outcome {
                let milliseconds = started.elapsed().as_secs_f64() * 1e3;
                tracing::info!(version = %target.key, milliseconds, "loaded");
            }
            let outcome = outcome.unwrap_or_else(|panic| {
                Err(broke_down(FailureLocation::Load, &panic_message(panic.as_ref())))
            });
            let _ = commands.send(Command::Loaded { entry, attempt, outcome });
        });
        if let Err(error) = spawned {
            let outcome = Err(broke_down(FailureLocation::Load, &format!("no thread for it: {error}")));
            let _ = failed.send(Command::Loaded { entry, attempt, outcome });
        }
    }

    fn unload(&mut self, entry: EntryId) {
        self.percents.remove(&entry);
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
        let Some(Asking { asker, reply }) = self.replies.remove(&waiter) else {
            // The caller went away in this very moment.
            self.feed(Event::Released { entry });
            return;
        };
        let (Some(commands), Some(loaded), Some(target)) =
            (self.commands.upgrade(), self.engines.get(&entry), self.targets.get(&entry))
        else {
            return;
        };
        let now = self.wall_time();
        self.foresight.used(&target.key, asker, now);
        let provenance = Provenance {
            model: target.key.model.clone(),
            version: target.key.version.clone(),
            language_pair: target.key.language_pair.clone(),
            revision: self.revision(entry),
            dtype: self.loader.dtype(target),
            fallback: instead_of.map(|(key, failure)| Fallback {
                chosen: key.version,
                location: failure.location,
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
