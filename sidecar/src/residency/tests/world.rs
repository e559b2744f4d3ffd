//! A world around the state machine that carries out its effects on paper and checks every one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ostler_crds::names::{Dtype, LoadPolicy, Task};
use ostler_crds::status::FailureLocation;

use super::super::{
    Attempt, Budget, Effect, EntryId, Event, Footprint, Moment, Refusal, Residency, Settings, WaiterId,
};
use crate::target::{Target, VersionFailure, VersionKey};

/// The budget of every world.
pub(super) const BUDGET: Budget = Budget { bytes: 100, evict_above_percent: 80, evict_to_percent: 70 };

pub(super) fn key(model: &str) -> VersionKey {
    VersionKey { model: model.parse().unwrap(), version: "v1".parse().unwrap(), language_pair: None }
}

/// A target whose repository says how large it is: `hf://o/SIZE`.
pub(super) fn target(model: &str, size: u64, pin: u32) -> Target {
    Target {
        key: key(model),
        task: Task::Translation,
        source: format!("hf://o/{size}").parse().unwrap(),
        commit: Some(format!("{pin:040x}").parse().unwrap()),
        unpinned: None,
        dtype: Dtype::Auto,
        load: LoadPolicy::Lazy,
        keep: false,
        instances: 1,
    }
}

pub(super) fn preload(target: Target) -> Target {
    Target { load: LoadPolicy::Preload, ..target }
}

pub(super) fn keep(target: Target) -> Target {
    Target { keep: true, ..target }
}

/// Half of the size again is needed while loading.
pub(super) fn footprint(target: &Target) -> Footprint {
    let source = target.source.to_string();
    let size: u64 = source.trim_start_matches("hf://o/").trim_end_matches(":main").parse().unwrap();
    Footprint { resident_bytes: size, transient_bytes: size / 2, scratch_bytes: 1 }
}

pub(super) fn failure(retryable: bool) -> VersionFailure {
    VersionFailure {
        location: FailureLocation::Load,
        reason: "Broken".to_owned(),
        message: "broken".to_owned(),
        retryable,
        retry_after: None,
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Granted(EntryId, Option<VersionKey>),
    Refused(Refusal),
}

pub(super) struct World {
    pub(super) residency: Residency,
    pub(super) now: Moment,
    pub(super) plan: Vec<Target>,
    pub(super) preparing: BTreeMap<EntryId, Attempt>,
    pub(super) loading: BTreeMap<EntryId, (Attempt, u32)>,
    pub(super) loaded: BTreeMap<EntryId, u32>,
    pub(super) freeing: BTreeMap<EntryId, u32>,
    pub(super) targets: BTreeMap<EntryId, Target>,
    pub(super) leases: Vec<EntryId>,
    pub(super) waiting: BTreeMap<WaiterId, Vec<VersionKey>>,
    pub(super) answers: BTreeMap<WaiterId, Answer>,
    next_waiter: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            residency: Residency::new(Settings { max_waiters: 8, ..Settings::with_budget(BUDGET) }),
            now: Duration::ZERO,
            plan: Vec::new(),
            preparing: BTreeMap::new(),
            loading: BTreeMap::new(),
            loaded: BTreeMap::new(),
            freeing: BTreeMap::new(),
            targets: BTreeMap::new(),
            leases: Vec::new(),
            waiting: BTreeMap::new(),
            answers: BTreeMap::new(),
            next_waiter: 0,
        }
    }

    pub(super) fn with_plan(plan: Vec<Target>) -> Self {
        let mut world = Self::new();
        world.apply(plan);
        world
    }

    pub(super) fn apply(&mut self, plan: Vec<Target>) {
        self.plan.clone_from(&plan);
        self.feed(Event::Planned { targets: plan });
    }

    pub(super) fn want(&mut self, models: &[&str]) -> WaiterId {
        self.want_keys(models.iter().map(|model| key(model)).collect())
    }

    pub(super) fn want_keys(&mut self, candidates: Vec<VersionKey>) -> WaiterId {
        self.next_waiter += 1;
        let waiter = WaiterId(self.next_waiter);
        self.waiting.insert(waiter, candidates.clone());
        self.feed(Event::Wanted { waiter, candidates, planned_pin_only: false });
        waiter
    }

    pub(super) fn cancel(&mut self, waiter: WaiterId) {
        self.waiting.remove(&waiter);
        self.feed(Event::Cancelled { waiter });
    }

    pub(super) fn release(&mut self, entry: EntryId) {
        let place = self.leases.iter().position(|leased| *leased == entry).unwrap();
        self.leases.remove(place);
        self.feed(Event::Released { entry });
    }

    pub(super) fn finish_prepare(&mut self, entry: EntryId, outcome: Result<(), VersionFailure>) {
        let attempt = self.preparing.remove(&entry).unwrap();
        let footprint = footprint(&self.targets[&entry]);
        self.feed(match outcome {
            Ok(()) => Event::Prepared { entry, attempt, footprint },
            Err(failure) => Event::Failed { entry, attempt, failure, jitter: 0.5 },
        });
    }

    pub(super) fn finish_load(&mut self, entry: EntryId, outcome: Result<(), VersionFailure>) {
        let (attempt, instances) = self.loading.remove(&entry).unwrap();
        match outcome {
            Ok(()) => {
                self.loaded.insert(entry, instances);
                self.feed(Event::Loaded { entry, attempt });
            }
            Err(failure) => self.feed(Event::Failed { entry, attempt, failure, jitter: 0.5 }),
        }
    }

    pub(super) fn finish_free(&mut self, entry: EntryId) {
        self.freeing.remove(&entry).unwrap();
        self.feed(Event::Freed { entry });
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.feed(Event::Tick);
    }

    /// Everything in motion ends well; nothing new is asked for.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(entry) = self.preparing.keys().next().copied() {
                self.finish_prepare(entry, Ok(()));
            } else if let Some(entry) = self.loading.keys().next().copied() {
                self.finish_load(entry, Ok(()));
            } else if let Some(entry) = self.freeing.keys().next().copied() {
                self.finish_free(entry);
            } else {
                return;
            }
        }
    }

    pub(super) fn entry(&self, model: &str) -> EntryId {
        let views = self.residency.views();
        views.iter().find(|view| view.target.key == key(model)).map(|view| view.entry).unwrap()
    }

    pub(super) fn is_loaded(&self, model: &str) -> bool {
        self.loaded.contains_key(&self.entry(model))
    }

    pub(super) fn bytes_in_use(&self) -> u64 {
        let of = |entry: &EntryId| footprint(&self.targets[entry]);
        let loading: u64 =
            self.loading.iter().map(|(entry, (_, instances))| of(entry).peak(*instances)).sum();
        let held = self.loaded.iter().chain(&self.freeing);
        loading + held.map(|(entry, instances)| of(entry).held(*instances)).sum::<u64>()
    }

    fn feed(&mut self, event: Event) {
        let just_loaded = match &event {
            Event::Loaded { entry, .. } => Some(*entry),
            _ => None,
        };
        let effects = self.residency.handle(event, self.now);
        for effect in effects {
            self.carry_out(effect, just_loaded);
        }
        let in_use = self.bytes_in_use();
        assert!(in_use <= BUDGET.bytes, "{in_use} bytes in use, over the budget");
        assert_eq!(in_use, self.residency.reserved_bytes(), "the reservation is not what is in use");
    }

    fn carry_out(&mut self, effect: Effect, just_loaded: Option<EntryId>) {
        match effect {
            Effect::Prepare { entry, attempt, target } => {
                assert!(!self.is_in_motion(entry), "prepared twice: {entry:?}");
                self.targets.insert(entry, target);
                self.preparing.insert(entry, attempt);
            }
            Effect::CancelPrepare { entry } => {
                assert!(self.preparing.remove(&entry).is_some(), "nothing to cancel: {entry:?}");
            }
            Effect::Load { entry, attempt, target } => {
                assert!(!self.is_in_motion(entry), "loaded twice: {entry:?}");
                self.loading.insert(entry, (attempt, target.instances));
                self.targets.insert(entry, target);
            }
            Effect::Resize { entry, instances } => {
                assert!(
                    self.loaded.insert(entry, instances).is_some(),
                    "resized while not loaded: {entry:?}"
                );
            }
            Effect::Unload { entry } => self.unload(entry, just_loaded),
            Effect::Forget { entry } => assert!(!self.is_in_motion(entry), "forgotten in motion: {entry:?}"),
            Effect::Grant { waiter, entry, instead_of } => {
                let candidates = self.waiting.remove(&waiter).expect("granted to nobody");
                assert!(self.loaded.contains_key(&entry), "granted while not loaded: {entry:?}");
                assert!(candidates.contains(&self.targets[&entry].key), "granted something else");
                self.leases.push(entry);
                self.answers.insert(waiter, Answer::Granted(entry, instead_of.map(|(key, _)| key)));
            }
            Effect::Refuse { waiter, refusal } => {
                assert!(self.waiting.remove(&waiter).is_some(), "refused nobody");
                self.answers.insert(waiter, Answer::Refused(refusal));
            }
        }
    }

    fn unload(&mut self, entry: EntryId, just_loaded: Option<EntryId>) {
        assert!(!self.leases.contains(&entry), "a leased version was unloaded: {entry:?}");
        let instances = self.loaded.remove(&entry).expect("unloaded while not loaded");
        self.freeing.insert(entry, instances);
        let target = &self.targets[&entry];
        let is_planned = |planned: &Target| planned.is_same_model(target) && planned.keep;
        let is_kept = self.plan.iter().any(is_planned);
        assert!(!is_kept || just_loaded == Some(entry), "a kept version was evicted: {}", target.key);
    }

    fn is_in_motion(&self, entry: EntryId) -> bool {
        let maps = [self.loaded.contains_key(&entry), self.freeing.contains_key(&entry)];
        maps.contains(&true) || self.preparing.contains_key(&entry) || self.loading.contains_key(&entry)
    }

    /// The models that wait on disk although they are wanted, for messages of failing tests.
    pub(super) fn unsettled(&self) -> BTreeSet<String> {
        let views = self.residency.views();
        views.iter().map(|view| format!("{} {:?}", view.target.key, view.state)).collect()
    }
}
