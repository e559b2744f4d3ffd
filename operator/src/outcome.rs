//! How far a reconcile came.

use ostler_crds::serving_plan::ServingPlan;

use crate::pins::Pins;
use crate::weights::Waiting;

/// How far a reconcile came.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Every object is as it should be.
    Applied(Box<Progressed>),
    /// Nothing will change until somebody changes something.
    Stalled(Problem),
    /// It is tried again.
    Failed(Problem),
}

/// What was applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Progressed {
    /// The plan.
    pub plan: ServingPlan,
    /// Its pins.
    pub pins: Pins,
    /// The versions whose share of traffic waits for them to be loaded.
    pub waiting: Vec<Waiting>,
    /// The generation that the Deployment has now.
    pub deployment_generation: i64,
}

/// What stopped a reconcile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One PascalCase word.
    pub reason: &'static str,
    /// What is wrong and what to do, for a person.
    pub message: String,
}
