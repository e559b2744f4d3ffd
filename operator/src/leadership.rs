//! Leader election by a Lease.
//!
//! A crate that does this exists, and does not fit: it keeps calling itself the leader while the API server cannot be
//! reached, and it believes other replicas' clocks. Here a holder is taken for gone when its Lease has not changed for
//! as long as it may be held *by this replica's clock*, and a leader stops before that when it cannot renew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// How the leader is elected.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// This replica's name: unique among the replicas.
    pub identity: String,
    /// How long a Lease holds after it was renewed last, in whole seconds.
    pub duration: Duration,
    /// How often it is renewed or looked at; at most a third of the duration.
    pub period: Duration,
}

impl LeaseSettings {
    /// The customary times: 15 seconds of holding, looked at every 2.
    #[must_use]
    pub fn new(namespace: String, identity: String) -> Self {
        Self {
            namespace,
            name: "ostler-operator".to_owned(),
            identity,
            duration: Duration::from_secs(15),
            period: Duration::from_secs(2),
        }
    }
}

/// Refuses writes once the lead may have gone to somebody else, even where the process slept through it.
#[derive(Debug, Clone)]
pub struct Fence {
    start: Instant,
    /// Milliseconds after `start` until which the lead is certain.
    until: Arc<AtomicU64>,
}

/// The lead may have gone to another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this replica no longer leads")]
pub struct NotLeading;

impl Fence {
    /// A fence that is closed.
    #[must_use]
    pub fn closed(start: Instant) -> Self {
        Self { start, until: Arc::new(AtomicU64::new(0)) }
    }

    /// A fence that stays open, for a replica that is alone.
    #[must_use]
    pub fn open() -> Self {
        Self { start: Instant::now(), until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn open_until(&self, until: Instant) {
        let milliseconds = until.saturating_duration_since(self.start).as_millis();
        self.until.store(u64::try_from(milliseconds).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn close(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Says whether this replica certainly leads now.
    ///
    /// # Errors
    /// [`NotLeading`] once another may.
    pub fn check(&self) -> Result<(), NotLeading> {
        let now = Instant::now().saturating_duration_since(self.start).as_millis();
        if now < u128::from(self.until.load(Ordering::SeqCst)) { Ok(()) } else { Err(NotLeading) }
    }
}

/// What to do about the Lease. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// There is none.
    Create,
    /// This replica holds it.
    Renew,
    /// Nobody holds it any more.
    Take,
    /// Another holds it.
    Wait,
}

fn claim(lease: Option<&Lease>, identity: &str, unchanged_for: Duration) -> Claim {
    let Some(lease) = lease else { return Claim::Create };
    let Some(spec) = &lease.spec else { return Claim::Take };
    let seconds =
        spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    match spec.holder_identity.as_deref() {
        None | Some("") => Claim::Take,
        Some(holder) if holder == identity => Claim::Renew,
        Some(_) if unchanged_for > Duration::from_secs(seconds) => Claim::Take,
        Some(_) => Claim::Wait,
    }
}

/// The Lease as this replica wants it. A replacement carries the resource version that was read, so that of two who
/// take it one is refused.
fn wanted(found: Option<Lease>, settings: &LeaseSettings, claim: Claim, now: Timestamp) -> Lease {
    let metadata = found.as_ref().map(|lease| lease.metadata.clone()).unwrap_or_else(|| ObjectMeta {
        name: Some(settings.name.clone()),
        namespace: Some(settings.namespace.clone()),
        ..ObjectMeta::default()
    });
    let before = found.and_then(|lease| lease.spec).unwrap_or_default();
    let renews = claim == Claim::Renew;
    let transitions = before.lease_transitions.unwrap_or_default();
    let spec = LeaseSpec {
        holder_identity: Some(settings.identity.clone()),
        lease_duration_seconds: i32::try_from(settings.duration.as_secs()).ok(),
        acquire_time: if renews { before.acquire_time } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if claim == Claim::Take {
            transitions.saturating_add(1)
        } else {
            transitions
        }),
        ..LeaseSpec::default()
    };
    Lease { metadata, spec: Some(spec) }
}

/// Takes part in the election until told to stop, then gives the lead back.
pub struct Election {
    api: Api<Lease>,
    settings: LeaseSettings,
    fence: Fence,
    health: Arc<Health>,
    /// The Lease's resource version as seen last, and since when.
    seen: Option<(String, Instant)>,
    /// Until when the lead is certain.
    leads_until: Option<Instant>,
}

impl Election {
    /// A replica that takes part.
    #[must_use]
    pub fn new(client: Client, settings: LeaseSettings, fence: Fence, health: Arc<Health>) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, fence, health, seen: None, leads_until: None }
    }

    /// Runs the election. `leads` always holds whether this replica leads.
    pub async fn run(mut self, leads: watch::Sender<bool>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let round = timeout(self.settings.period * 2, self.round()).await;
            self.health.saw_lease(Instant::now());
            match round {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed or read"),
                Err(_) => tracing::warn!("the API server does not answer about the lease"),
            }
            let still = self.leads_until.is_some_and(|until| until > Instant::now());
            if !still {
                self.fence.close();
                self.leads_until = None;
            }
            leads.send_if_modified(|leads| std::mem::replace(leads, still) != still);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(self.settings.period) => {}
            }
        }
        self.fence.close();
        leads.send_replace(false);
        if self.leads_until.is_some() {
            match timeout(self.settings.period * 2, self.release()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be given back; it runs out by itself")
                }
                Err(_) => tracing::warn!("the lease was not given back in time; it runs out by itself"),
            }
        }
    }

    /// Looks at the Lease once and does what is to be done.
    async fn round(&mut self) -> Result<(), kube::Error> {
        // The lead is certain from the moment before the request went out.
        let asked = Instant::now();
        let found = self.api.get_opt(&self.settings.name).await?;
        let version =
            found.as_ref().and_then(|lease| lease.metadata.resource_version.clone()).unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => asked,
        };
        self.seen = Some((version, since));
        let claim = claim(found.as_ref(), &self.settings.identity, asked.saturating_duration_since(since));
        let lease = wanted(found, &self.settings, claim, Timestamp::now());
        let written = match claim {
            Claim::Wait => {
                self.leads_until = None;
                return Ok(());
            }
            Claim::Create => self.api.create(&PostParams::default(), &lease).await,
            Claim::Renew | Claim::Take => {
                self.api.replace(&self.settings.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(_) => {
                // One period short of what the others wait for.
                let until = asked + self.settings.duration.saturating_sub(self.settings.period);
                self.fence.open_until(until);
                self.leads_until = Some(until);
                Ok(())
            }
            // Another replica was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the lead back, so that another replica need not wait for it to run out.
    async fn release(&self) -> Result<(), kube::Error> {
        let mut lease = self.api.get(&self.settings.name).await?;
        let Some(spec) = lease.spec.as_mut() else { return Ok(()) };
        if spec.holder_identity.as_deref() != Some(self.settings.identity.as_str()) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        self.api.replace(&self.settings.name, &PostParams::default(), &lease).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>) -> Lease {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        };
        Lease { metadata: ObjectMeta::default(), spec: Some(spec) }
    }

    #[test]
    fn a_lease_is_claimed_when_it_is_free_and_only_then() {
        let cases = [
            (None, 0, Claim::Create),
            (Some(lease(None)), 0, Claim::Take),
            (Some(lease(Some(""))), 0, Claim::Take),
            (Some(lease(Some("me"))), 0, Claim::Renew),
            (Some(lease(Some("me"))), 100, Claim::Renew),
            (Some(lease(Some("other"))), 15, Claim::Wait),
            (Some(lease(Some("other"))), 16, Claim::Take),
            (Some(Lease::default()), 0, Claim::Take),
        ];
        for (found, seconds, expected) in cases {
            assert_eq!(
                claim(found.as_ref(), "me", Duration::from_secs(seconds)),
                expected,
                "{found:?} {seconds}"
            );
        }
    }

    #[test]
    fn taking_counts_a_transition_and_renewing_does_not() {
        let settings = LeaseSettings::new("ns".into(), "me".into());
        let transitions = |claim| {
            let lease = wanted(Some(lease(Some("other"))), &settings, claim, Timestamp::UNIX_EPOCH);
            lease.spec.and_then(|spec| spec.lease_transitions)
        };
        assert_eq!(transitions(Claim::Take), Some(5));
        assert_eq!(transitions(Claim::Renew), Some(4));
    }

    #[test]
    fn a_fence_closes_by_itself() {
        let now = Instant::now();
        let fence = Fence::closed(now - Duration::from_secs(60));
        assert_eq!(fence.check(), Err(NotLeading));
        fence.open_until(now + Duration::from_secs(60));
        assert_eq!(fence.check(), Ok(()));
        fence.open_until(now - Duration::from_secs(1));
        assert_eq!(fence.check(), Err(NotLeading));
        assert_eq!(Fence::open().check(), Ok(()));
    }
}
