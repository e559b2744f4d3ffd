//! Whether the operator gets anywhere. A process that answers and yet does nothing must be restarted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Every `ModelDeployment` is reconciled at least this often, whatever its watches say.
pub const RESYNC: Duration = Duration::from_secs(300);
/// A leader that has work and has finished none of it for this long is stuck: a resync must have come by.
const LONGEST_SILENCE: Duration = Duration::from_secs(360);

/// Tells how many objects there are to reconcile.
type Count = Box<dyn Fn() -> usize + Send>;

/// What is known of the operator's progress.
struct Progress {
    /// Since when this replica leads.
    leading_since: Option<Instant>,
    /// Whether the watches have delivered everything once.
    synced: bool,
    /// When a reconcile ended last.
    finished: Option<Instant>,
    /// The reconciles under way, by the object's UID.
    under_way: HashMap<String, Instant>,
    /// How many objects there are to reconcile.
    objects: Count,
    /// When the Lease was looked at last; `None` where there is none to look at.
    lease_seen: Option<Instant>,
}

/// The operator's progress, shared between those who make it and those who ask.
pub struct Health {
    progress: Mutex<Progress>,
}

impl Default for Health {
    fn default() -> Self {
        let progress = Progress {
            leading_since: None,
            synced: false,
            finished: None,
            under_way: HashMap::new(),
            objects: Box::new(|| 0),
            lease_seen: None,
        };
        Self { progress: Mutex::new(progress) }
    }
}

impl Health {
    fn with<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// This replica leads from now on, or no longer.
    pub fn leads(&self, leads: bool, now: Instant) {
        self.with(|progress| {
            progress.leading_since = leads.then_some(now);
            progress.synced = false;
            progress.finished = None;
            progress.under_way.clear();
            progress.objects = Box::new(|| 0);
        });
    }

    /// The watches have delivered everything once; `objects` counts what there is to reconcile from now on.
    pub fn synced(&self, objects: impl Fn() -> usize + Send + 'static) {
        self.with(|progress| {
            progress.synced = true;
            progress.objects = Box::new(objects);
        });
    }

    /// The leader election has looked at the Lease, with or without success.
    pub fn saw_lease(&self, now: Instant) {
        self.with(|progress| progress.lease_seen = Some(now));
    }

    /// A reconcile has begun.
    pub fn began(&self, uid: &str, now: Instant) {
        self.with(|progress| _ = progress.under_way.insert(uid.to_owned(), now));
    }

    /// A reconcile has ended, well or not.
    pub fn ended(&self, uid: &str, now: Instant) {
        self.with(|progress| {
            progress.under_way.remove(uid);
            progress.finished = Some(now);
        });
    }

    /// Why the process should be restarted, if it should.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> Option<&'static str> {
        let silent = |since: Instant| now.saturating_duration_since(since) > LONGEST_SILENCE;
        self.with(|progress| {
            if progress.lease_seen.is_some_and(silent) {
                return Some("the leader election has stopped");
            }
            let leading_since = progress.leading_since?;
            if progress.under_way.values().any(|began| silent(*began)) {
                return Some("a reconcile does not end");
            }
            if (progress.objects)() > 0 && silent(progress.finished.unwrap_or(leading_since)) {
                return Some("nothing has been reconciled in 6 minutes");
            }
            None
        })
    }

    /// Whether this replica is of use: it waits for the lead, or it leads and knows the cluster.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.with(|progress| progress.leading_since.is_none() || progress.synced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_waiting_replica_is_alive_while_it_looks_at_the_lease() {
        let (health, start) = (Health::default(), Instant::now());
        health.saw_lease(start);
        assert_eq!(health.stuck(after(start, 300)), None);
        assert!(health.stuck(after(start, 400)).is_some());
        assert!(health.ready());
    }

    #[test]
    fn a_leader_without_objects_is_alive_for_ever() {
        let (health, start) = (Health::default(), Instant::now());
        health.leads(true, start);
        assert_eq!(health.stuck(after(start, 100_000)), None);
        assert!(!health.ready());
        health.synced(|| 0);
        assert!(health.ready());
    }

    #[test]
    fn a_leader_with_objects_that_finishes_nothing_is_stuck() {
        let (health, start) = (Health::default(), Instant::now());
        health.leads(true, start);
        health.synced(|| 1);
        health.began("a", start);
        health.ended("a", start);
        assert_eq!(health.stuck(after(start, 350)), None);
        assert!(health.stuck(after(start, 361)).is_some());
    }

    #[test]
    fn a_reconcile_that_never_ends_is_noticed_though_others_do() {
        let (health, start) = (Health::default(), Instant::now());
        health.leads(true, start);
        health.began("a", start);
        health.began("b", after(start, 359));
        health.ended("b", after(start, 361));
        assert_eq!(health.stuck(after(start, 362)), Some("a reconcile does not end"));
    }
}
