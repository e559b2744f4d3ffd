//! The events of one watch, kept in a store on their way.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt, future};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use prometheus::IntCounter;
use serde::de::DeserializeOwned;

/// Objects in one answer to a list: with all their fields they are many times as large as what is kept of them, and
/// all kinds are listed at once.
const PAGE: u32 = 50;

/// Counts the failures of one kind's watch.
pub(super) struct Failures {
    /// The counter.
    pub(super) count: IntCounter,
    /// The kind.
    pub(super) kind: String,
}

/// Every object of a kind.
pub(super) fn all<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config.page_size(PAGE)).backoff(WatchBackoff::default())
}

/// Every object of a kind that can be read. One that cannot, written by a newer version of this project, is treated as
/// if it were not there, and does not keep the others from being seen.
pub(super) fn readable<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    known: Store<K>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    all(api, config)
        .filter_map(move |event| future::ready(event.map(|event| sort_out(event, &known)).transpose()))
}

fn sort_out<K>(event: Event<DeserializeGuard<K>>, known: &Store<K>) -> Option<Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    // What was readable before and no longer is leaves the store.
    let leave = |guard: DeserializeGuard<K>| {
        let unreadable = guard.0.err()?;
        let (kind, error) = (K::kind(&()), &unreadable.error);
        let name = unreadable.metadata.name.unwrap_or_default();
        let namespace = unreadable.metadata.namespace.unwrap_or_default();
        tracing::warn!(%kind, namespace, name, error, "an object cannot be read; it is left alone");
        let before = known.get(&ObjectRef::new(&name).within(&namespace))?;
        Some(Event::Delete(before.as_ref().clone()))
    };
    match event {
        Event::Apply(DeserializeGuard(Ok(object))) => Some(Event::Apply(object)),
        Event::Delete(DeserializeGuard(Ok(object))) => Some(Event::Delete(object)),
        Event::InitApply(DeserializeGuard(Ok(object))) => Some(Event::InitApply(object)),
        Event::Apply(unreadable) | Event::Delete(unreadable) => leave(unreadable),
        // A list replaces the store as a whole: what is not in it leaves with the list's end.
        Event::InitApply(unreadable) => {
            drop(leave(unreadable));
            None
        }
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}

/// The events after the store has them, stripped of what nobody reads; failures are counted and left out.
pub(super) fn reflected<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    writer: Writer<K>,
    strip: fn(&mut K),
    failures: Failures,
) -> impl Stream<Item = Event<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    events
        .modify(move |object| {
            object.managed_fields_mut().clear();
            object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
            strip(object);
        })
        .reflect(writer)
        .filter_map(move |event| {
            let event = event.inspect_err(|error| {
                failures.count.inc();
                tracing::warn!(kind = failures.kind, %error, "a watch has failed and begins again");
            });
            future::ready(event.ok())
        })
}

/// The pause before a failed watch begins again: doubles from a half second to ten, so that the operator is back within
/// half a minute after the API server is.
#[derive(Debug, Default)]
struct WatchBackoff {
    attempts: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let doubled =
            Duration::from_millis(500).saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1);
        let jitter = rand::Rng::random_range(&mut rand::rng(), 0.75..1.25);
        Some(doubled.min(Duration::from_secs(10)).mul_f64(jitter))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::reflector::store;
    use serde_json::json;

    use super::*;

    fn config_map(data: serde_json::Value) -> DeserializeGuard<ConfigMap> {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "b"}, "data": data})).unwrap()
    }

    #[test]
    fn an_object_that_cannot_be_read_is_as_good_as_deleted() {
        let (known, mut writer) = store::<ConfigMap>();
        let unreadable = || config_map(json!("text"));
        assert!(sort_out(Event::Apply(unreadable()), &known).is_none());
        let readable = sort_out(Event::Apply(config_map(json!({}))), &known);
        let Some(event @ Event::Apply(_)) = readable else { panic!("{readable:?}") };
        writer.apply_watcher_event(&event);
        assert!(matches!(sort_out(Event::Apply(unreadable()), &known), Some(Event::Delete(_))));
        assert!(sort_out(Event::InitApply(unreadable()), &known).is_none());
        assert!(matches!(sort_out(Event::InitDone, &known), Some(Event::InitDone)));
    }

    #[test]
    fn pauses_grow_to_ten_seconds_and_begin_anew() {
        let mut backoff = WatchBackoff::default();
        let pauses: Vec<Duration> = backoff.by_ref().take(100).collect();
        assert!(pauses[0] < Duration::from_secs(1));
        assert!(pauses[5..].iter().all(|pause| (7..13).contains(&pause.as_secs())));
        backoff.reset();
        assert!(backoff.next() < Some(Duration::from_secs(1)));
    }
}
