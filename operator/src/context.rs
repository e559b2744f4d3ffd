//! What every reconcile shares.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use kube::runtime::events::Recorder;
use ostler_crds::model_deployment::ModelDeploymentStatus;
use tokio::time::Instant;

use crate::health::Health;
use crate::hub::Hub;
use crate::leadership::Fence;
use crate::metrics::Metrics;
use crate::observed::Live;
use crate::resources::Kind;
use crate::settings::Settings;
use crate::watches::Stores;

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the watches have seen.
    pub stores: Stores,
    /// The administrator's settings.
    pub settings: Settings,
    /// The Hub.
    pub hub: Arc<Hub>,
    /// Refuses writes once the lead is gone.
    pub fence: Fence,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whether anything moves.
    pub health: Arc<Health>,
    /// Writes events.
    pub recorder: Recorder,
    /// What this process has written.
    pub memory: Memory,
}

/// An object as this process wrote it: while the live object is still that, there is nothing to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The object's UID.
    pub uid: String,
    /// The hash of what was applied.
    pub hash: String,
    /// The generation, or the resource version where the kind has none, after it was applied.
    pub version: String,
}

impl Written {
    /// What there is to remember of a live object.
    #[must_use]
    pub fn of(live: &Live, hash: String) -> Self {
        let version =
            live.generation.map_or_else(|| live.resource_version.clone(), |number| number.to_string());
        Self { uid: live.uid.clone(), hash, version }
    }
}

/// A status as this process published it.
#[derive(Debug, Clone)]
pub struct Published {
    /// The resource version of the `ModelDeployment` that it was computed from.
    pub based_on: String,
    /// The status.
    pub status: Arc<ModelDeploymentStatus>,
    /// When.
    pub at: Instant,
}

/// What this process has written, by the `ModelDeployment`'s UID. It saves writes and is no source of truth: without
/// it everything is applied once more, which changes nothing at the API server.
#[derive(Debug, Default)]
pub struct Memory {
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    written: HashMap<Kind, Written>,
    published: Option<Published>,
    failures: u32,
}

impl Memory {
    fn with<T>(&self, owner: &str, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        change(entries.entry(owner.to_owned()).or_default())
    }

    /// Forgets what is no longer there.
    pub fn forget(&self, owner: &str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(owner);
    }

    /// Forgets every owner that is not in the list.
    pub fn keep(&self, owners: &HashSet<String>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|owner, _| owners.contains(owner));
    }

    /// What was written of one kind.
    #[must_use]
    pub fn written(&self, owner: &str, kind: Kind) -> Option<Written> {
        self.with(owner, |entry| entry.written.get(&kind).cloned())
    }

    /// Remembers what was written.
    pub fn wrote(&self, owner: &str, kind: Kind, written: Written) {
        self.with(owner, |entry| drop(entry.written.insert(kind, written)));
    }

    /// The status that was published last.
    #[must_use]
    pub fn published(&self, owner: &str) -> Option<Published> {
        self.with(owner, |entry| entry.published.clone())
    }

    /// Remembers a published status.
    pub fn publish(&self, owner: &str, published: Published) {
        self.with(owner, |entry| entry.published = Some(published));
    }

    /// Counts a failure and returns how many came before it in a row.
    pub fn failed(&self, owner: &str) -> u32 {
        self.with(owner, |entry| {
            let before = entry.failures;
            entry.failures = before.saturating_add(1);
            before
        })
    }

    /// Ends a row of failures.
    pub fn succeeded(&self, owner: &str) {
        self.with(owner, |entry| entry.failures = 0);
    }
}
