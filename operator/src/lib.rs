//! The Ostler operator: ModelDeployments become pods with pinned models.
//!
//! One reconcile is one line of steps, one module each: [`observe`] reads, [`validate`], [`pins`], [`weights`] and
//! [`desired`] decide, [`apply`] writes, [`status`] decides what to say and [`publish_status`] says it. What decides is
//! pure: no client, clock, file or log. [`run`] puts the parts together.

pub mod admin;
pub mod apply;
pub mod args;
pub mod context;
pub mod desired;
pub mod events;
pub mod health;
pub mod hub;
pub mod leadership;
pub mod metrics;
pub mod names;
pub mod objects;
pub mod observe;
pub mod observed;
pub mod outcome;
pub mod ownership;
pub mod pins;
pub mod publish_status;
pub mod reconcile;
pub mod reported;
pub mod resolution;
pub mod resources;
pub mod run;
pub mod settings;
pub mod status;
pub mod telemetry;
pub mod validate;
pub mod validated;
pub mod watches;
pub mod weights;

#[cfg(test)]
mod fixtures;
