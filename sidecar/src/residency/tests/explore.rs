//! Every interleaving of a small world: what clients, transfers, loads, the system's memory, the clock
//! and the plan may do next, from every state that has been reached. The world checks each step ([`World::broken`]);
//! from each state, everything wanted must come to an end when what is in motion ends well.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ostler_crds::names::LoadPolicy;
use ostler_crds::status::FailureLocation;

use super::super::{AheadBounds, EntryId, Settings, WaiterId};
use super::bug::Bug;
use super::canonical::canonical;
use super::world::{Answer, BUDGET, World, failure, key};
use crate::target::Target;

/// Every period is a multiple of this, so that steps of it reach every order of moments.
pub(super) const TICK: Duration = Duration::from_secs(10);

/// Longer than anything but a deadline that was put far away.
const FAR: Duration = Duration::from_secs(3600);

/// Whether `make soak` runs, which takes its time.
pub(super) fn is_soak() -> bool {
    std::env::var_os("OSTLER_SOAK").is_some()
}

/// A small world.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The plans that may follow each other in any order; the first one is there at the start.
    pub(super) plans: Vec<Vec<Target>>,
    /// What each client may ask for: a version and its fallbacks.
    pub(super) clients: Vec<Vec<&'static [&'static str]>>,
    /// The failures that transfers and loads may end with: retryable or not.
    pub(super) failures: &'static [bool],
    /// The bytes that the machine may turn out to have for models, whatever the budget says.
    pub(super) machines: &'static [u64],
    /// What may turn out to be likely. All of it is on disk at the start.
    pub(super) likely: &'static [&'static [&'static str]],
}

/// So much may be loaded ahead.
const AHEAD: AheadBounds = AheadBounds { max_versions: 1, max_bytes: 50 };

/// A version stays for one tick, a failure rests for one, a request waits for two at most, and one for working memory
/// before others go. What nobody has used for two is idle.
pub(super) fn settings() -> Settings {
    let mut settings = Settings {
        minimum_residency: TICK,
        max_wait: 2 * TICK,
        patience: TICK,
        idle_time: 2 * TICK,
        ..Settings::with_budget(BUDGET)
    };
    // The jitter of 1 halves a rest.
    settings.backoff.base = 2 * TICK;
    settings.backoff.cap = 2 * TICK;
    settings
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Client {
    Idle,
    Waiting(WaiterId),
    Leasing(EntryId),
}

/// What may happen next. An outcome is none for success, else whether the failure is retryable.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Want(usize, &'static [&'static str]),
    Cancel(usize),
    Release(usize),
    Prepared(EntryId, Option<bool>),
    LatePrepared,
    Loaded(EntryId, Option<bool>),
    Freed(EntryId),
    Pass,
    Measured(u64),
    Plan(usize),
    Anticipate(&'static [&'static str]),
}

/// What came of an exploration.
pub(super) struct Explored {
    pub(super) states: usize,
    /// Whether there is no state that was not looked at.
    pub(super) is_complete: bool,
    /// The first promise that did not hold, and a way there.
    pub(super) broken: Option<(String, Vec<Action>)>,
}

/// Looks at every state of the scenario, or at so many at most: those that are nearest to the start come first, so that what
/// is broken is found on the shortest way. What waits to be looked at is an action and the state that it is taken in, which
/// all of its actions share, because there are many times as many actions as states.
pub(super) fn explore(scenario: &Scenario, bug: Bug, most_states: usize) -> Explored {
    let mut ways: Vec<(usize, Option<Action>)> = Vec::new();
    let mut seen = HashSet::new();
    let mut live = HashSet::new();
    let mut frontier = VecDeque::from([(0, None, Rc::new(Small::start(scenario, bug)))]);
    while let Some((before, action, from)) = frontier.pop_front() {
        let small = match action {
            None => from,
            Some(action) => Rc::new(from.after(action, scenario)),
        };
        if !seen.insert(small.number()) && small.world.broken.is_none() {
            continue;
        }
        if ways.len() >= most_states {
            return Explored { states: ways.len(), is_complete: false, broken: None };
        }
        let place = ways.len();
        ways.push((before, action));
        let broken = small.world.broken.clone().or_else(|| small.stuck(&mut live));
        if let Some(broken) = broken {
            let way = way(&ways, place);
            return Explored { states: ways.len(), is_complete: false, broken: Some((broken, way)) };
        }
        frontier.extend(
            small.actions(scenario).into_iter().map(|action| (place, Some(action), Rc::clone(&small))),
        );
    }
    Explored { states: ways.len(), is_complete: true, broken: None }
}

/// The actions that led to a state.
fn way(ways: &[(usize, Option<Action>)], place: usize) -> Vec<Action> {
    let (before, action) = ways[place];
    let Some(action) = action else { return Vec::new() };
    let mut actions = way(ways, before);
    actions.push(action);
    actions
}

#[derive(Clone)]
struct Small {
    world: World,
    clients: Vec<Client>,
    plan: usize,
}

impl Small {
    fn start(scenario: &Scenario, bug: Bug) -> Self {
        let mut world = World::with_settings(settings());
        world.is_explored = true;
        world.bug = bug;
        // Long after everything began, so that nothing is young by accident.
        world.now = FAR;
        world.apply(scenario.plans[0].clone());
        world.has_predictions = !scenario.likely.is_empty();
        if world.has_predictions {
            let lazy = scenario.plans[0].iter().filter(|target| target.load == LoadPolicy::Lazy);
            lazy.for_each(|target| world.fetch(target.key.model.as_str()));
            world.answers.clear();
        }
        Self { world, clients: vec![Client::Idle; scenario.clients.len()], plan: 0 }
    }

    fn number(&self) -> u64 {
        let table = &self.world.residency.machine.table;
        let places = self.clients.iter().map(|client| match client {
            Client::Idle => (0, 0),
            Client::Waiting(waiter) => (1, table.waiters.range(..waiter).count()),
            Client::Leasing(entry) => (2, table.entries.range(..entry).count()),
        });
        canonical(&self.world, (self.plan, places.collect::<Vec<_>>()))
    }

    fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        let world = &self.world;
        let outcomes = || std::iter::once(None).chain(scenario.failures.iter().copied().map(Some));
        let mut actions = Vec::new();
        for (number, client) in self.clients.iter().enumerate() {
            match client {
                Client::Idle => {
                    actions.extend(scenario.clients[number].iter().map(|list| Action::Want(number, list)));
                }
                Client::Waiting(_) => actions.push(Action::Cancel(number)),
                Client::Leasing(_) => actions.push(Action::Release(number)),
            }
        }
        for entry in world.preparing.keys() {
            actions.extend(outcomes().map(|outcome| Action::Prepared(*entry, outcome)));
        }
        for entry in world.loading.keys() {
            actions.extend(outcomes().map(|outcome| Action::Loaded(*entry, outcome)));
        }
        actions.extend(world.freeing.iter().map(|entry| Action::Freed(*entry)));
        actions.extend(world.late.map(|_| Action::LatePrepared));
        actions.push(Action::Pass);
        actions.extend(scenario.machines.iter().map(|bytes| Action::Measured(*bytes)));
        actions.extend(scenario.likely.iter().copied().map(Action::Anticipate));
        actions.extend((0..scenario.plans.len()).filter(|plan| *plan != self.plan).map(Action::Plan));
        actions
    }

    /// The state after an action.
    fn after(&self, action: Action, scenario: &Scenario) -> Self {
        let mut next = self.clone();
        next.take(action, scenario);
        next
    }

    fn take(&mut self, action: Action, scenario: &Scenario) {
        let result = |outcome: Option<bool>| outcome.map_or(Ok(()), |retryable| Err(failure(retryable)));
        let world = &mut self.world;
        match action {
            Action::Want(client, models) => {
                let waiter = world.want_keys(models.iter().map(|model| key(model)).collect());
                self.clients[client] = Client::Waiting(waiter);
            }
            Action::Cancel(client) => {
                if let Client::Waiting(waiter) = self.clients[client] {
                    world.cancel(waiter);
                    self.clients[client] = Client::Idle;
                }
            }
            Action::Release(client) => self.release(client),
            Action::Prepared(entry, outcome) => world.finish_prepare(entry, result(outcome)),
            Action::LatePrepared => world.finish_late(),
            Action::Loaded(entry, outcome) => world.finish_load(entry, result(outcome)),
            Action::Freed(entry) => world.finish_free(entry),
            Action::Pass => world.pass_as_asked(TICK),
            Action::Measured(bytes) => {
                world.machine_bytes = bytes;
                world.measure();
            }
            Action::Anticipate(likely) => world.anticipate(likely, AHEAD),
            Action::Plan(plan) => {
                world.apply(scenario.plans[plan].clone());
                self.plan = plan;
            }
        }
        self.hear();
    }

    fn release(&mut self, client: usize) {
        if let Client::Leasing(entry) = self.clients[client] {
            self.world.release(entry);
            self.clients[client] = Client::Idle;
        }
    }

    /// The clients hear their answers.
    fn hear(&mut self) {
        for client in &mut self.clients {
            let Client::Waiting(waiter) = *client else { continue };
            *client = match self.world.answers.remove(&waiter) {
                Some(Answer::Granted(entry, _)) => Client::Leasing(entry),
                Some(Answer::Refused(_)) => Client::Idle,
                None => continue,
            };
        }
        self.world.answers.clear();
    }

    /// What never ends, though everything in motion ends well, leases come back and time passes. Deadlines are put
    /// far away, because they end every wait. `live` are states from which everything is known to end.
    fn stuck(&self, live: &mut HashSet<u64>) -> Option<String> {
        let mut small = self.clone();
        let now = small.world.now;
        small
            .world
            .residency
            .machine
            .table
            .waiters
            .values_mut()
            .for_each(|waiter| waiter.deadline = now + FAR);
        small.world.waiting.values_mut().for_each(|waiting| waiting.since = now + FAR);
        let mut passed = Vec::new();
        while passed.len() < 200 {
            let number = small.number();
            if small.is_quiet() || live.contains(&number) {
                live.extend(passed);
                return None;
            }
            passed.push(number);
            if !small.world.settle_one() && !small.release_one() {
                let wake = small.world.next_wake().map(|wake| wake.saturating_sub(small.world.now));
                match wake {
                    Some(time) if time < FAR / 2 => small.world.pass_as_asked(time),
                    _ => return Some(format!("stuck for ever: {:?}", small.world.unsettled())),
                }
            }
            small.hear();
            if let Some(broken) = small.world.broken {
                return Some(format!("on the way to rest: {broken}"));
            }
        }
        Some(format!("it never comes to rest: {:?}", small.world.unsettled()))
    }

    fn release_one(&mut self) -> bool {
        let leasing = self.clients.iter().position(|client| matches!(client, Client::Leasing(_)));
        leasing.map(|client| self.release(client)).is_some()
    }

    /// Whether nothing moves, nobody waits, and all that is wanted is loaded or has failed for good. What found no
    /// memory has failed for good too, where nothing else leaves by itself.
    fn is_quiet(&self) -> bool {
        let world = &self.world;
        let table = &world.residency.machine.table;
        let wanted = table.wanted();
        let is_open = |(id, entry): (&EntryId, &super::super::entry::Entry)| {
            let is_wanted = wanted.contains(id)
                || (entry.in_plan && entry.target.load == LoadPolicy::Preload && !entry.proven);
            let failure = entry.last_failure.as_ref().map(|record| &record.failure);
            let is_short = failure.is_some_and(|failure| failure.location == FailureLocation::Memory);
            is_wanted && world.rests.get(id) != Some(&None) && !is_short
        };
        let is_still = world.preparing.is_empty() && world.loading.is_empty() && world.freeing.is_empty();
        is_still && world.waiting.is_empty() && !table.entries.iter().any(is_open)
    }
}
