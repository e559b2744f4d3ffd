//! One reconcile: observe, validate, pin, decide weights, build, apply, compute the status, publish it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::serving_plan::PlanError;
use rand::Rng;
use tokio::time::{Instant, timeout};

use crate::apply::{self, ApplyError};
use crate::context::Context;
use crate::health::RESYNC;
use crate::leadership::NotLeading;
use crate::observe::{self, ObserveError};
use crate::observed::{Observed, Rollout};
use crate::outcome::{Outcome, Problem, Progressed};
use crate::ownership::{self, OwnershipError};
use crate::publish_status::{self, PublishError};
use crate::validate::{self, ValidateError};
use crate::{desired, pins, status, weights};

/// How long one reconcile may take. Questions to the Hub have a bound of their own, well below.
const LONGEST_RECONCILE: Duration = Duration::from_secs(120);
/// The longest pause after failures in a row: short enough to be done half a minute after the API server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The pause before an object of somebody else is looked at again: the watches do not see it.
const CONFLICT_PAUSE: Duration = Duration::from_secs(30);
/// The pause before something that moved is read again.
const MOVED_PAUSE: Duration = Duration::from_millis(200);

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The cluster could not be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The status could not be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The API server took a request and never answered.
    #[error("the API server has not answered within {} seconds", LONGEST_RECONCILE.as_secs())]
    TimedOut,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The spec is wrong.
    #[error(transparent)]
    Invalid(#[from] ValidateError),
    /// A name is taken.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// The plan cannot be written.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An object could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Brings the cluster to what the spec says, and the status to what the cluster is.
///
/// # Errors
/// What is tried again after a pause; what only a change can repair is in the status and no error.
pub async fn reconcile(
    deployment: Arc<ModelDeployment>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let owner = deployment.uid().unwrap_or_default();
    if deployment.metadata.deletion_timestamp.is_some() {
        // Every object names its owner: the garbage collector does the rest.
        context.memory.forget(&owner);
        return Ok(Action::await_change());
    }
    let began = Instant::now();
    context.health.began(&owner, began);
    let in_time = timeout(LONGEST_RECONCILE, run(&deployment, &context)).await;
    let result = in_time.unwrap_or(Err(ReconcileError::TimedOut));
    context.health.ended(&owner, Instant::now());
    context.metrics.reconcile_seconds.observe(began.elapsed().as_secs_f64());
    let word = if result.is_ok() { "done" } else { "failed" };
    context.metrics.reconciles.with_label_values(&[word]).inc();
    if result.is_ok() {
        context.memory.succeeded(&owner);
    }
    result
}

async fn run(deployment: &ModelDeployment, context: &Context) -> Result<Action, ReconcileError> {
    let mut deployment = deployment.clone();
    deployment.status = publish_status::in_force(&deployment, context);
    let mut observed = observe::observe(&deployment, context).await?;
    let stepped = step(&deployment, &mut observed, context).await;
    let (outcome, pause) = match &stepped {
        Ok((progressed, pause)) => (Outcome::Applied(Box::new(progressed.clone())), *pause),
        Err(error) => match outcome(error) {
            Some(found) => found,
            None => return again(stepped.err()),
        },
    };
    let status = status::compute(&deployment, &observed, &outcome, Timestamp::now());
    let before = deployment.status.clone();
    let throttled = publish_status::publish(&deployment, before.as_ref(), status, &outcome, context).await?;
    if let (Outcome::Failed(_), Err(error)) = (&outcome, stepped) {
        return Err(error.into());
    }
    let resync = RESYNC.mul_f64(rand::rng().random_range(0.8..1.0));
    let pause = [pause, throttled].into_iter().flatten().fold(resync, Duration::min);
    Ok(Action::requeue(pause.max(MOVED_PAUSE)))
}

/// The steps that change something.
async fn step(
    deployment: &ModelDeployment,
    observed: &mut Observed,
    context: &Context,
) -> Result<(Progressed, Option<Duration>), StepError> {
    let validated = validate::validate(deployment, &context.settings)?;
    ownership::check(&validated, &observed.live)?;
    let decisions = pins::decide(&validated, observed.plan.as_ref());
    let largest = pins::settle(decisions.clone(), &validated, &decisions.as_if_answered());
    desired::asked_for(&validated, &largest).to_json()?;
    let (answers, pause) = context.hub.resolve(decisions.questions()).await;
    let pins = pins::settle(decisions, &validated, &answers);
    let current = observed.plan.as_ref().and_then(|existing| existing.plan.as_ref());
    let mut plan = desired::asked_for(&validated, &pins);
    let waiting = weights::take_effect(&mut plan.models, current, &observed.pods);
    let plan = desired::with_generation(plan, current);
    let resources = desired::build(&validated, &plan.to_json()?, &pins, &context.settings);
    let applied = apply::apply(&validated.identity, resources, &observed.live, context).await?;
    let deployment_generation = applied.deployment.generation.unwrap_or_default();
    // What was seen of a Deployment that has just been made is nothing.
    observed.rollout.get_or_insert_with(Rollout::default);
    Ok((Progressed { plan, pins, waiting, deployment_generation }, pause))
}

/// What a failed step means to the user, and when to look again where no change may come; `None` where it means
/// nothing.
fn outcome(error: &StepError) -> Option<(Outcome, Option<Duration>)> {
    let stalled =
        |reason, pause| Some((Outcome::Stalled(Problem { reason, message: with_sources(error) }), pause));
    let failed = |reason| Some((Outcome::Failed(Problem { reason, message: with_sources(error) }), None));
    match error {
        StepError::Invalid(_) => stalled("InvalidSpec", None),
        StepError::Plan(_) => stalled("PlanTooLarge", None),
        StepError::Ownership(OwnershipError::NameConflict { .. }) => {
            stalled("NameConflict", Some(CONFLICT_PAUSE))
        }
        StepError::Ownership(OwnershipError::BeingDeleted { .. }) => failed("BeingDeleted"),
        StepError::Apply(ApplyError::Rejected { .. }) => stalled("Rejected", None),
        StepError::Apply(ApplyError::Request { .. }) => failed("ApiError"),
        StepError::Apply(ApplyError::Moved { .. } | ApplyError::NotLeading(_)) => None,
    }
}

fn again(error: Option<StepError>) -> Result<Action, ReconcileError> {
    match error {
        Some(StepError::Apply(ApplyError::Moved { kind, name })) => {
            tracing::debug!(%kind, name, "changed in the meantime; it is read again");
            Ok(Action::requeue(MOVED_PAUSE))
        }
        _ => Err(PublishError::NotLeading(NotLeading).into()),
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = cause.source();
    }
    words
}

/// After a failure: a pause that doubles, with jitter so that many do not come back at once.
#[must_use]
pub fn error_policy(
    deployment: Arc<ModelDeployment>,
    error: &ReconcileError,
    context: Arc<Context>,
) -> Action {
    let before = context.memory.failed(&deployment.uid().unwrap_or_default());
    let pause = Duration::from_millis(500).saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
    let pause = pause.min(LONGEST_PAUSE).mul_f64(rand::rng().random_range(0.75..1.25));
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    tracing::warn!(
        namespace,
        name,
        error = with_sources(error),
        ?pause,
        "a reconcile failed; it is tried again"
    );
    Action::requeue(pause)
}
