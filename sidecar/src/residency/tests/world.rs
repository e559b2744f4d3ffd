//! A world around the state machine that carries out its effects on paper and checks every one of them.
//!
//! A promise that does not hold is noted in [`World::broken`]: scripted and random tests fail there and then, while
//! the exploration asks for it, because with a seeded bug it must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ostler_crds::names::{Commit, Dtype, LoadPolicy, Task};
use ostler_crds::status::FailureLocation;

use super::super::{
    AheadBounds, Attempt, Budget, Effect, EntryId, Event, Footprint, Moment, RealMemory, Refusal, Residency,
    Settings, WaiterId,
};
use super::bug::{Bug, NO_BUG};
use crate::target::{Batching, Target, VersionFailure, VersionKey};

/// The budget of every world.
pub(super) const BUDGET: Budget = Budget { bytes: 100, evict_above_percent: 80, evict_to_percent: 70 };

/// `model` or `model@version`, and ` at PIN` for a pin of its history; the version is `v1` where none is written.
pub(super) fn key(name: &str) -> VersionKey {
    let (name, pin) = name.split_once(" at ").map_or((name, None), |(name, pin)| (name, Some(pin)));
    let (model, version) = name.split_once('@').unwrap_or((name, "v1"));
    VersionKey {
        model: model.parse().unwrap(),
        version: version.parse().unwrap(),
        language_pair: None,
        retired: pin.map(|pin| commit(pin.parse().unwrap())),
    }
}

fn commit(pin: u32) -> Commit {
    format!("{pin:040x}").parse().unwrap()
}

/// A target whose repository says how large it is: `hf://o/SIZE`.
pub(super) fn target(model: &str, size: u64, pin: u32) -> Target {
    Target {
        key: key(model),
        task: Task::Translation,
        source: format!("hf://o/{size}").parse().unwrap(),
        commit: Some(commit(pin)),
        unpinned: None,
        dtype: Dtype::Auto,
        load: LoadPolicy::Lazy,
        keep: false,
        instances: 1,
        batching: Batching::ALONE,
        model_limit_bytes: None,
        task_limit_bytes: None,
        idle_time: None,
    }
}

pub(super) fn preload(target: Target) -> Target {
    Target { load: LoadPolicy::Preload, ..target }
}

pub(super) fn keep(target: Target) -> Target {
    Target { keep: true, ..target }
}

/// The same as a pin of its version's history.
pub(super) fn retired(target: Target) -> Target {
    let key = VersionKey { retired: target.commit.clone(), ..target.key.clone() };
    Target { key, load: LoadPolicy::Lazy, keep: false, ..target }
}

/// The same with jobs of another size than 1: `hf://o/SIZE-JOB`.
pub(super) fn working(job: u64, target: Target) -> Target {
    let size = footprint(&target).resident_bytes;
    Target { source: format!("hf://o/{size}-{job}").parse().unwrap(), ..target }
}

/// Half of the size again is needed while loading.
pub(super) fn footprint(target: &Target) -> Footprint {
    let source = target.source.to_string();
    let sizes = source.trim_start_matches("hf://o/").trim_end_matches(":main");
    let (size, job) = sizes.split_once('-').unwrap_or((sizes, "1"));
    let size: u64 = size.parse().unwrap();
    Footprint { resident_bytes: size, transient_bytes: size / 2, scratch_bytes: job.parse().unwrap() }
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

/// A request that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) candidates: Vec<VersionKey>,
    pub(super) since: Moment,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) residency: Residency,
    pub(super) settings: Settings,
    pub(super) now: Moment,
    pub(super) plan: Vec<Target>,
    pub(super) preparing: BTreeMap<EntryId, Attempt>,
    /// A cancelled preparation whose answer is on its way nevertheless.
    pub(super) late: Option<(EntryId, Attempt)>,
    pub(super) loading: BTreeMap<EntryId, (Attempt, u32)>,
    pub(super) loaded: BTreeMap<EntryId, u32>,
    pub(super) loaded_at: BTreeMap<EntryId, Moment>,
    pub(super) freeing: BTreeSet<EntryId>,
    /// When what failed may be tried again; `None` where only another plan can help.
    pub(super) rests: BTreeMap<EntryId, Option<Moment>>,
    pub(super) targets: BTreeMap<EntryId, Target>,
    pub(super) leases: Vec<EntryId>,
    /// The most jobs that may be running.
    pub(super) jobs: BTreeMap<EntryId, u32>,
    pub(super) used_at: BTreeMap<EntryId, Moment>,
    /// What was loaded before anybody asked for it, and is unused yet.
    pub(super) ahead: BTreeSet<EntryId>,
    /// Whether anything may be loaded so.
    pub(super) has_predictions: bool,
    /// Those that may answer whoever asks for no commit: present pins, and older ones until a present one is loaded.
    pub(super) answering: BTreeSet<EntryId>,
    /// The bytes that the machine has for models.
    pub(super) machine_bytes: u64,
    /// Those that it was found to have, when that was clear.
    pub(super) known_bytes: u64,
    pub(super) waiting: BTreeMap<WaiterId, Waiting>,
    pub(super) answers: BTreeMap<WaiterId, Answer>,
    /// The first promise that did not hold.
    pub(super) broken: Option<String>,
    /// Whether a broken promise is only noted.
    pub(super) is_explored: bool,
    pub(super) bug: Bug,
    is_measuring: bool,
    /// What is being anticipated, and how much may be loaded for it.
    anticipating: Option<(Vec<VersionKey>, AheadBounds)>,
    next_waiter: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let minimum_residency = Duration::from_secs(10);
        let idle_time = Duration::from_secs(30);
        let usual = Settings::with_budget(BUDGET);
        Self::with_settings(Settings { max_waiters: 8, minimum_residency, idle_time, ..usual })
    }

    pub(super) fn with_settings(settings: Settings) -> Self {
        Self {
            residency: Residency::new(settings),
            settings,
            now: Duration::ZERO,
            plan: Vec::new(),
            preparing: BTreeMap::new(),
            late: None,
            loading: BTreeMap::new(),
            loaded: BTreeMap::new(),
            loaded_at: BTreeMap::new(),
            freeing: BTreeSet::new(),
            rests: BTreeMap::new(),
            targets: BTreeMap::new(),
            leases: Vec::new(),
            jobs: BTreeMap::new(),
            used_at: BTreeMap::new(),
            ahead: BTreeSet::new(),
            has_predictions: false,
            answering: BTreeSet::new(),
            machine_bytes: u64::MAX,
            known_bytes: u64::MAX,
            waiting: BTreeMap::new(),
            answers: BTreeMap::new(),
            broken: None,
            is_explored: false,
            bug: NO_BUG,
            is_measuring: false,
            anticipating: None,
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
        self.rests.retain(|_, rest| rest.is_some());
        let versions: Vec<VersionKey> = plan.iter().map(|target| target.key.present()).collect();
        self.answering.retain(|entry| versions.contains(&self.targets[entry].key.present()));
        for entry in self.loaded.keys().copied().collect::<Vec<_>>() {
            if self.is_present(entry) {
                self.take_over(entry);
            }
        }
        self.feed(Event::Planned { targets: plan });
    }

    pub(super) fn want(&mut self, models: &[&str]) -> WaiterId {
        self.want_keys(models.iter().map(|model| key(model)).collect())
    }

    pub(super) fn want_keys(&mut self, candidates: Vec<VersionKey>) -> WaiterId {
        self.next_waiter += 1;
        let waiter = WaiterId(self.next_waiter);
        self.waiting.insert(waiter, Waiting { candidates: candidates.clone(), since: self.now });
        self.feed(Event::Wanted { waiter, candidates, planned_pin_only: false });
        waiter
    }

    /// These will probably be asked for soon.
    pub(super) fn anticipate(&mut self, models: &[&str], bounds: AheadBounds) {
        let likely = models.iter().map(|model| key(model)).collect();
        self.feed(Event::Anticipated { likely, bounds });
    }

    /// A version was asked for once, and is on disk since.
    pub(super) fn fetch(&mut self, model: &str) {
        let waiter = self.want(&[model]);
        let entry = self.entry(model);
        self.finish_prepare(entry, Ok(()));
        self.cancel(waiter);
        self.finish_load(entry, Ok(()));
        self.finish_free(entry);
    }

    pub(super) fn cancel(&mut self, waiter: WaiterId) {
        self.waiting.remove(&waiter);
        self.feed(Event::Cancelled { waiter });
    }

    pub(super) fn release(&mut self, entry: EntryId) {
        let place = self.leases.iter().position(|leased| *leased == entry).unwrap();
        self.leases.remove(place);
        let leases = self.leases.iter().filter(|leased| **leased == entry).count();
        if let Some(jobs) = self.jobs.get_mut(&entry) {
            *jobs = (*jobs).min(u32::try_from(leases).unwrap());
        }
        self.used_at.insert(entry, self.now);
        self.feed(Event::Released { entry });
    }

    pub(super) fn finish_prepare(&mut self, entry: EntryId, outcome: Result<(), VersionFailure>) {
        let attempt = self.preparing.remove(&entry).unwrap();
        let footprint = footprint(&self.targets[&entry]);
        let event = match outcome {
            Ok(()) => Event::Prepared { entry, attempt, footprint },
            Err(failure) => self.failed(entry, attempt, failure),
        };
        self.feed(event);
    }

    pub(super) fn finish_load(&mut self, entry: EntryId, outcome: Result<(), VersionFailure>) {
        let (attempt, instances) = self.loading.remove(&entry).unwrap();
        match outcome {
            Ok(()) => {
                self.loaded.insert(entry, instances);
                self.loaded_at.insert(entry, self.now);
                self.used_at.insert(entry, self.now);
                if self.is_present(entry) {
                    self.take_over(entry);
                } else {
                    self.answering.remove(&entry);
                }
                self.feed(Event::Loaded { entry, attempt });
            }
            Err(failure) => {
                self.ahead.remove(&entry);
                let failed = self.failed(entry, attempt, failure);
                self.feed(failed);
            }
        }
    }

    /// A load that finds its files gone from the cache, or damaged there.
    pub(super) fn lose_files(&mut self, entry: EntryId) {
        let (attempt, _) = self.loading.remove(&entry).unwrap();
        self.ahead.remove(&entry);
        let lost = VersionFailure { location: FailureLocation::Download, ..failure(true) };
        let is_second = self.residency.machine.table.entries.get(&entry).is_some_and(|it| it.has_lost_files);
        let event = if is_second {
            self.failed(entry, attempt, lost)
        } else {
            Event::Failed { entry, attempt, failure: lost, jitter: 1.0 }
        };
        self.feed(event);
    }

    pub(super) fn finish_free(&mut self, entry: EntryId) {
        assert!(self.freeing.remove(&entry));
        self.feed(Event::Freed { entry });
    }

    /// The answer of a preparation that was cancelled when it was done.
    pub(super) fn finish_late(&mut self) {
        if let Some((entry, attempt)) = self.late.take() {
            let footprint = footprint(&self.targets[&entry]);
            self.feed(Event::Prepared { entry, attempt, footprint });
        }
    }

    /// The memory is measured: what is in use is in use, and nobody stalls. A sixteenth of it is the margin.
    pub(super) fn measure(&mut self) {
        let limit_bytes = self.machine_bytes;
        let in_use = self.bytes_in_use();
        if self.loading.is_empty() && self.freeing.is_empty() {
            self.known_bytes = limit_bytes.max(in_use);
        }
        let free_bytes = limit_bytes.saturating_sub(in_use);
        let process_bytes = in_use;
        self.feed(Event::Measured {
            memory: RealMemory { process_bytes, free_bytes, limit_bytes, stalled_percent: 0 },
        });
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.feed(Event::Tick);
    }

    /// Time passes as it does for the task: a tick comes only when the state machine has asked for one.
    pub(super) fn pass_as_asked(&mut self, time: Duration) {
        let wake = self.next_wake();
        self.now += time;
        if wake.is_some_and(|wake| wake <= self.now) {
            self.feed(Event::Tick);
        }
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        (self.bug.wake)(self.residency.next_wake(self.now))
    }

    /// Everything in motion ends well; nothing new is asked for.
    pub(super) fn settle(&mut self) {
        while self.broken.is_none() && self.settle_one() {}
    }

    /// One thing in motion ends well; false where nothing is in motion.
    pub(super) fn settle_one(&mut self) -> bool {
        if let Some(entry) = self.preparing.keys().next().copied() {
            self.finish_prepare(entry, Ok(()));
        } else if let Some(entry) = self.loading.keys().next().copied() {
            self.finish_load(entry, Ok(()));
        } else if let Some(entry) = self.freeing.first().copied() {
            self.finish_free(entry);
        } else {
            return false;
        }
        true
    }

    pub(super) fn entry(&self, model: &str) -> EntryId {
        let views = self.residency.views();
        views.iter().find(|view| view.target.key == key(model)).map(|view| view.entry).unwrap()
    }

    pub(super) fn is_loaded(&self, model: &str) -> bool {
        self.loaded.contains_key(&self.entry(model))
    }

    pub(super) fn bytes_in_use(&self) -> u64 {
        self.bytes_of(|_| true)
    }

    /// The most bytes that some targets may be using.
    fn bytes_of(&self, is_counted: impl Fn(&Target) -> bool) -> u64 {
        let (fixed, jobs) = (self.fixed_bytes_of(&is_counted), self.job_bytes_of(&is_counted));
        fixed + jobs
    }

    /// Those with room for the job that takes most, where that is more than what runs.
    fn room_of(&self, is_counted: impl Fn(&Target) -> bool) -> u64 {
        let up = self.loading.keys().chain(self.loaded.keys()).map(|entry| &self.targets[entry]);
        let largest =
            up.filter(|target| is_counted(target)).map(|target| footprint(target).scratch_bytes).max();
        self.fixed_bytes_of(&is_counted) + self.job_bytes_of(&is_counted).max(largest.unwrap_or(0))
    }

    fn fixed_bytes_of(&self, is_counted: impl Fn(&Target) -> bool) -> u64 {
        let of = |entry: &EntryId| footprint(&self.targets[entry]);
        let counts = |entry: &&EntryId| is_counted(&self.targets[*entry]);
        let loading: u64 = self.loading.keys().filter(counts).map(|entry| of(entry).peak()).sum();
        let held = self.loaded.keys().chain(&self.freeing).filter(counts);
        loading + held.map(|entry| of(entry).resident_bytes).sum::<u64>()
    }

    fn job_bytes_of(&self, is_counted: impl Fn(&Target) -> bool) -> u64 {
        let jobs = self.jobs.iter().map(|(entry, jobs)| (&self.targets[entry], u64::from(*jobs)));
        // What is being loaded is proved by a job.
        let jobs = jobs.chain(self.loading.keys().map(|entry| (&self.targets[entry], 1)));
        let counted = jobs.filter(|(target, _)| is_counted(target));
        counted.map(|(target, jobs)| footprint(target).scratch_bytes * jobs).sum()
    }

    /// Whether an entry is the pin that the plan has for its version.
    fn is_present(&self, entry: EntryId) -> bool {
        let mut present = self.plan.iter().filter(|planned| planned.key.retired.is_none());
        present.any(|planned| planned.is_same_model(&self.targets[&entry]))
    }

    /// From now on an entry answers for its version, and no other pin of it.
    fn take_over(&mut self, entry: EntryId) {
        let key = self.targets[&entry].key.clone();
        self.answering.retain(|other| !self.targets[other].key.is_same_version(&key));
        self.answering.insert(entry);
    }

    fn failed(&mut self, entry: EntryId, attempt: Attempt, failure: VersionFailure) -> Event {
        // A jitter of 1 takes half of the first rest away, and later rests are not shorter.
        let rest = failure.retryable.then(|| self.now + self.settings.backoff.base / 2);
        self.rests.insert(entry, rest);
        Event::Failed { entry, attempt, failure, jitter: 1.0 }
    }

    fn feed(&mut self, event: Event) {
        let just_loaded = match &event {
            Event::Loaded { entry, .. } => Some(*entry),
            _ => None,
        };
        let is_tick = matches!(event, Event::Tick);
        self.is_measuring = matches!(event, Event::Measured { .. });
        self.anticipating = match &event {
            Event::Anticipated { likely, bounds } => Some((likely.clone(), *bounds)),
            _ => None,
        };
        if let Some(event) = (self.bug.before)(&mut self.residency, event) {
            let mut effects = self.residency.handle(event, self.now);
            (self.bug.after)(&mut self.residency, &mut effects);
            for effect in effects {
                self.carry_out(effect, just_loaded);
            }
        }
        self.check(is_tick);
        if !self.is_explored {
            assert_eq!(self.broken, None);
        }
    }

    /// Notes a promise that does not hold.
    fn promise(&mut self, holds: bool, broken: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(broken());
        }
    }

    fn check(&mut self, is_tick: bool) {
        let (in_use, reserved) = (self.bytes_in_use(), self.residency.reserved_bytes());
        let budget = self.settings.budget.bytes;
        self.promise(in_use <= budget, || format!("{in_use} bytes in use, over the budget"));
        let room = self.room_of(|_| true);
        self.promise(room == reserved, || {
            format!("{reserved} bytes reserved, and room for {room} is needed")
        });
        let known: Vec<WaiterId> = self.residency.machine.table.waiters.keys().copied().collect();
        let waiting: Vec<WaiterId> = self.waiting.keys().copied().collect();
        self.promise(known == waiting, || format!("{waiting:?} wait, and {known:?} are known"));
        let max_wait = self.settings.max_wait;
        let is_late = self.waiting.values().any(|waiting| waiting.since + max_wait <= self.now);
        self.promise(!(is_tick && is_late), || "a request waits longer than it may".to_owned());
        let wake = self.residency.next_wake(self.now);
        let is_over = is_tick && wake.is_some_and(|wake| wake <= self.now);
        self.promise(!is_over, || "a tick asks for the next one at once".to_owned());
    }

    fn carry_out(&mut self, effect: Effect, just_loaded: Option<EntryId>) {
        match effect {
            Effect::Prepare { entry, attempt, target } => {
                self.check_start(entry, &target);
                self.targets.insert(entry, target);
                self.preparing.insert(entry, attempt);
            }
            Effect::CancelPrepare { entry } => match self.preparing.remove(&entry) {
                Some(attempt) => self.late = Some((entry, attempt)),
                None => self.promise(false, || format!("nothing to cancel: {entry:?}")),
            },
            Effect::Load { entry, attempt, target } => {
                self.check_start(entry, &target);
                self.loading.insert(entry, (attempt, target.instances));
                self.targets.insert(entry, target.clone());
                self.check_limits(&target);
                self.check_ahead(entry);
            }
            Effect::Resize { entry, instances } => {
                let before = self.loaded.insert(entry, instances);
                self.promise(before.is_some(), || format!("resized while not loaded: {entry:?}"));
            }
            Effect::Unload { entry } => self.unload(entry, just_loaded),
            Effect::Forget { entry } => {
                self.promise(!self.is_in_motion(entry), || format!("forgotten in motion: {entry:?}"));
            }
            Effect::Grant { waiter, entry, instead_of } => {
                self.check_grant(waiter, entry);
                self.leases.push(entry);
                let instances = self.loaded.get(&entry).copied().unwrap_or_default();
                let jobs = self.jobs.entry(entry).or_default();
                *jobs = (*jobs).max(instances.min(*jobs + 1));
                self.ahead.remove(&entry);
                self.used_at.insert(entry, self.now);
                self.answers.insert(waiter, Answer::Granted(entry, instead_of.map(|(key, _)| key)));
            }
            Effect::Refuse { waiter, refusal } => {
                self.check_refusal(waiter, &refusal);
                self.answers.insert(waiter, Answer::Refused(refusal));
            }
        }
    }

    /// Nothing is started twice, nor while it rests after a failure.
    fn check_start(&mut self, entry: EntryId, target: &Target) {
        let live = self.preparing.keys().chain(self.loading.keys()).chain(self.loaded.keys());
        let is_same = |other: &EntryId| *other == entry || self.targets[other].is_same_model(target);
        let is_twice = live.chain(&self.freeing).any(is_same);
        self.promise(!is_twice, || format!("started twice: {}", target.key));
        let is_rested = match self.rests.remove(&entry) {
            Some(rest) => rest.is_some_and(|rest| rest <= self.now),
            None => true,
        };
        self.promise(is_rested, || format!("tried again without a rest: {}", target.key));
    }

    /// With a load that starts, neither its model nor its task takes more than its limit, nor everything more than the
    /// machine was found to have.
    fn check_limits(&mut self, target: &Target) {
        let Some(target) = self.plan.iter().find(|planned| planned.is_same_model(target)).cloned() else {
            return;
        };
        let model = self.bytes_of(|other| other.key.model == target.key.model);
        let holds = model <= target.model_limit_bytes.unwrap_or(u64::MAX);
        self.promise(holds, || format!("{model} bytes of one model, over its limit: {}", target.key));
        let task = self.bytes_of(|other| other.task == target.task);
        let holds = task <= target.task_limit_bytes.unwrap_or(u64::MAX);
        self.promise(holds, || format!("{task} bytes of one task, over its limit: {}", target.key));
        let (in_use, known) = (self.bytes_in_use(), self.known_bytes);
        self.promise(in_use <= known, || format!("{in_use} bytes in use, and the machine has {known}"));
    }

    /// A load that nobody asked for is alone, leaves room up to the mark, and stays within the bounds of its kind.
    fn check_ahead(&mut self, entry: EntryId) {
        let Some((_, bounds)) = self.anticipating.clone() else { return };
        self.ahead.insert(entry);
        let is_alone = self.waiting.is_empty() && self.loading.len() == 1;
        self.promise(is_alone, || format!("loaded ahead of whoever waits: {entry:?}"));
        let budget = self.settings.budget;
        let (in_use, mark) =
            (self.bytes_in_use(), budget.bytes * u64::from(budget.evict_above_percent) / 100);
        self.promise(in_use <= mark, || format!("{in_use} bytes in use with a load ahead, over the mark"));
        let ahead = self.ahead.clone();
        let is_ahead = |target: &Target| ahead.iter().any(|entry| self.targets[entry].is_same_model(target));
        let bytes = self.bytes_of(is_ahead);
        let is_within = ahead.len() <= bounds.max_versions && bytes <= bounds.max_bytes;
        self.promise(is_within, || format!("{} versions of {bytes} bytes are loaded ahead", ahead.len()));
    }

    /// What goes for a load that nobody has asked for: nothing that anybody holds, or is likely to ask for.
    fn check_gone_for_ahead(&mut self, entry: EntryId, planned: Option<&Target>, was_ahead: bool) {
        let Some((likely, _)) = self.anticipating.clone() else { return };
        let key = self.targets[&entry].key.clone();
        let is_idle =
            self.used_at.get(&entry).copied().unwrap_or_default() + self.settings.idle_time <= self.now;
        self.promise(is_idle, || format!("used lately, and gone for what nobody has asked for: {key}"));
        let is_likely = likely.contains(&key);
        self.promise(!is_likely, || format!("likely, and gone for what nobody has asked for: {key}"));
        let is_held = planned.is_some_and(|planned| planned.keep || planned.load == LoadPolicy::Preload);
        self.promise(was_ahead || !is_held, || {
            format!("held, and gone for what nobody has asked for: {key}")
        });
        let stands_in = self.answering.contains(&entry) && !self.is_present(entry);
        self.promise(!stands_in, || format!("an older pin is gone for what nobody has asked for: {key}"));
    }

    fn check_grant(&mut self, waiter: WaiterId, entry: EntryId) {
        self.promise(self.loaded.contains_key(&entry), || format!("granted while not loaded: {entry:?}"));
        let Some(waiting) = self.waiting.remove(&waiter) else {
            return self.promise(false, || format!("granted to nobody: {waiter:?}"));
        };
        let granted = &self.targets[&entry];
        let is_granted = |candidate: &&VersionKey| {
            let is_pin = match &candidate.retired {
                Some(_) => candidate.retired == granted.commit,
                None => self.answering.contains(&entry),
            };
            is_pin && granted.key.is_same_version(candidate)
        };
        let before = waiting.candidates.iter().take_while(|candidate| !is_granted(candidate));
        let before: Vec<VersionKey> = before.cloned().collect();
        self.promise(before.len() < waiting.candidates.len(), || "granted something else".to_owned());
        self.check_attempts(&before);
    }

    fn check_refusal(&mut self, waiter: WaiterId, refusal: &Refusal) {
        let Some(waiting) = self.waiting.remove(&waiter) else {
            return self.promise(false, || format!("refused nobody: {waiter:?}"));
        };
        if let Refusal::Failed { .. } = refusal {
            self.check_attempts(&waiting.candidates);
        }
    }

    /// Who was passed over has failed, and has not been loaded since.
    fn check_attempts(&mut self, passed_over: &[VersionKey]) {
        let views = self.residency.views();
        let untried = views
            .iter()
            .find(|view| passed_over.contains(&view.target.key) && view.last_failure.is_none())
            .map(|view| view.target.key.clone());
        self.promise(untried.is_none(), || format!("passed over, and has not failed: {untried:?}"));
    }

    fn unload(&mut self, entry: EntryId, just_loaded: Option<EntryId>) {
        let is_leased = self.leases.contains(&entry);
        self.promise(!is_leased, || format!("a leased version was unloaded: {entry:?}"));
        let was_ahead = self.ahead.remove(&entry);
        let need = self.need_for_memory(entry);
        let planned = self.plan.iter().find(|planned| planned.is_same_model(&self.targets[&entry])).cloned();
        // A limit that was lowered under what is loaded.
        let is_over_limit = planned.as_ref().is_some_and(|planned| self.is_over_limit(planned, 0));
        let stands_in = self.answering.contains(&entry) && !self.is_present(entry);
        if self.loaded.remove(&entry).is_none() {
            return self.promise(false, || format!("unloaded while not loaded: {entry:?}"));
        }
        self.freeing.insert(entry);
        let loaded_at = self.loaded_at.remove(&entry).unwrap_or_default();
        if just_loaded == Some(entry) {
            return;
        }
        let target = self.targets[&entry].clone();
        let key = &target.key;
        let used_at = self.used_at.get(&entry).copied().unwrap_or_default();
        let idle_time = planned.as_ref().and_then(|planned| planned.idle_time);
        if self.anticipating.is_some() {
            return self.check_gone_for_ahead(entry, planned.as_ref(), was_ahead);
        }
        if was_ahead || idle_time.is_some_and(|time| used_at + time <= self.now) {
            return;
        }
        if planned.is_some() {
            self.check_ahead_is_first(key);
        }
        match planned {
            Some(planned) if is_over_limit => {
                self.promise(!planned.keep, || format!("a kept version was evicted: {key}"));
            }
            // The system runs out of memory: a load may not be the reason.
            Some(planned) if self.is_measuring && self.is_running_out() => {
                self.promise(!planned.keep, || format!("a kept version was evicted: {key}"));
            }
            Some(_) if stands_in => self.check_stand_in(need, key),
            Some(planned) => {
                self.promise(!planned.keep, || format!("a kept version was evicted: {key}"));
                let by_request = planned.load == LoadPolicy::Lazy || !self.waiting.is_empty();
                self.promise(by_request, || format!("preloading evicted a preloaded version: {key}"));
                self.promise(need, || format!("evicted without need: {key}"));
                let has_stayed = self.now >= loaded_at + self.settings.minimum_residency;
                self.promise(has_stayed, || format!("evicted before its minimum residency: {key}"));
            }
            None if stands_in => self.check_stand_in(need, key),
            None => {}
        }
    }

    /// Nothing else goes while something is there that nobody has asked for, and whose going would help as much.
    fn check_ahead_is_first(&mut self, key: &VersionKey) {
        let has_limits = |target: &Target| target.model_limit_bytes.or(target.task_limit_bytes).is_some();
        let is_limited = self.plan.iter().any(has_limits);
        let helps = |other: &&EntryId| {
            self.loaded.contains_key(other)
                && self.is_present(**other)
                && (!is_limited || self.targets[*other].key.model == key.model)
        };
        let first = self.ahead.iter().find(helps).copied();
        self.promise(first.is_none(), || format!("{key} goes before {first:?}, which nobody has asked for"));
    }

    /// What answers for a pin that is not there yet goes only where its memory is needed.
    fn check_stand_in(&mut self, need: bool, key: &VersionKey) {
        let is_in_order = need || self.is_measuring;
        self.promise(is_in_order, || format!("an old pin went before the new one was there: {key}"));
    }

    /// Whether less than the margin of the machine's memory is free.
    fn is_running_out(&self) -> bool {
        self.machine_bytes / 16 > self.machine_bytes.saturating_sub(self.bytes_in_use())
    }

    /// Whether something that is not in memory would not fit beside what is.
    fn need_for_memory(&self, evicted: EntryId) -> bool {
        let budget = self.settings.budget;
        let upper_mark = budget.bytes * u64::from(budget.evict_above_percent) / 100;
        // The margin, and the room for jobs, which is not in memory when it is measured.
        let really_there = self.known_bytes - self.known_bytes / 16 - 10;
        let is_up = |target: &Target| {
            let up = self.loaded.keys().chain(self.loading.keys());
            up.filter(|entry| **entry != evicted).any(|entry| self.targets[entry].is_same_model(target))
        };
        let is_needed = |target: &Target, more: u64| {
            self.room_of(|_| true) + more > upper_mark.min(really_there) || self.is_over_limit(target, more)
        };
        let to_load = self.plan.iter().filter(|target| !is_up(target)).any(|target| {
            let footprint = footprint(target);
            is_needed(target, footprint.peak() + footprint.scratch_bytes)
        });
        // Who waits for working memory has some patience.
        let patience = self.settings.patience;
        let impatient = self.waiting.values().filter(|waiting| waiting.since + patience <= self.now);
        let keys: Vec<&VersionKey> = impatient.flat_map(|waiting| &waiting.candidates).collect();
        let to_work = self.loaded.keys().map(|entry| &self.targets[entry]).any(|target| {
            let is_wanted = keys.iter().any(|key| target.key.is_same_version(key));
            is_wanted && is_needed(target, footprint(target).scratch_bytes)
        });
        to_load || to_work
    }

    /// Whether the model or the task of a target takes more than its limit, with so many bytes more.
    fn is_over_limit(&self, target: &Target, more: u64) -> bool {
        let model = self.room_of(|other| other.key.model == target.key.model);
        let task = self.room_of(|other| other.task == target.task);
        model + more > target.model_limit_bytes.unwrap_or(u64::MAX)
            || task + more > target.task_limit_bytes.unwrap_or(u64::MAX)
    }

    fn is_in_motion(&self, entry: EntryId) -> bool {
        let maps = [self.loaded.contains_key(&entry), self.freeing.contains(&entry)];
        maps.contains(&true) || self.preparing.contains_key(&entry) || self.loading.contains_key(&entry)
    }

    /// The models that wait on disk although they are wanted, for messages of failing tests.
    pub(super) fn unsettled(&self) -> BTreeSet<String> {
        let views = self.residency.views();
        views.iter().map(|view| format!("{} {:?}", view.target.key, view.state)).collect()
    }
}
