//! What the task is told.

use std::sync::Arc;

use ostler_crds::serving_plan::ServingPlan;
use ostler_inference::engine::Engine;
use tokio::sync::oneshot;

use crate::lease::Lease;
use crate::loader::Prepared;
use crate::prediction::{Asker, Cue};
use crate::residency::{Attempt, EntryId, RealMemory, Refusal, WaiterId};
use crate::target::{VersionFailure, VersionKey};

/// What the task is told.
pub(crate) enum Command {
    /// A request wants the first of these that can serve.
    Acquire {
        waiter: WaiterId,
        candidates: Vec<VersionKey>,
        planned_pin_only: bool,
        /// Who asks, where that is known.
        asker: Option<Asker>,
        reply: oneshot::Sender<Result<Lease, Refusal>>,
    },
    /// A language is spoken in what a version works on; `is_first` where it was heard just now.
    Heard { cue: Cue, asker: Option<Asker>, is_first: bool },
    /// A request no longer waits.
    Cancel(WaiterId),
    /// Another plan is to be obeyed.
    Plan(Arc<ServingPlan>),
    /// A lease was given back.
    Released(EntryId),
    /// A preparation ended.
    Prepared { entry: EntryId, attempt: Attempt, outcome: Result<Prepared, VersionFailure> },
    /// Weights are in memory, and the engine is being proved.
    Proving(EntryId),
    /// A load ended.
    Loaded { entry: EntryId, attempt: Attempt, outcome: Result<Arc<dyn Engine>, VersionFailure> },
    /// An engine's memory is free.
    Freed(EntryId),
    /// The memory of the process and of what bounds it was measured.
    Measured(RealMemory),
}
