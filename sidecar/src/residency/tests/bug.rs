//! Something wrong, put into the state machine from outside: what it hears is changed before it decides, or what it
//! has decided afterwards. A promise that is worth its words is broken by it.

use super::super::{Effect, Event, Moment, Residency};

/// One seeded bug.
#[derive(Clone, Copy)]
pub(super) struct Bug {
    pub(super) name: &'static str,
    /// Changes the state, and the event or swallows it.
    pub(super) before: fn(&mut Residency, Event) -> Option<Event>,
    /// Changes what was decided.
    pub(super) after: fn(&mut Residency, &mut Vec<Effect>),
    /// Changes when the state machine asks to be woken.
    pub(super) wake: fn(Option<Moment>) -> Option<Moment>,
}

/// The state machine as it is.
pub(super) const NO_BUG: Bug =
    Bug { name: "none", before: |_, event| Some(event), after: |_, _| {}, wake: |wake| wake };
