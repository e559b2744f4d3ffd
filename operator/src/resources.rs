//! The objects made from one `ModelDeployment`, prepared or applied.

use std::fmt;

use serde_json::Value;

use crate::names;

/// The kinds that the operator makes, in the order in which they are applied: a pod sees nothing before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The serving plan.
    ConfigMap,
    /// The sidecar's account.
    ServiceAccount,
    /// What the account may do.
    RoleBinding,
    /// The address of the sidecars.
    Service,
    /// How many pods may be disturbed at once.
    PodDisruptionBudget,
    /// The pods.
    Deployment,
}

impl Kind {
    /// Every kind, in the order of applying.
    pub const ALL: [Self; 6] = [
        Self::ConfigMap,
        Self::ServiceAccount,
        Self::RoleBinding,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Deployment,
    ];

    /// The name of the object of this kind that is made for a `ModelDeployment`.
    #[must_use]
    pub fn object_name(self, deployment: &str) -> String {
        match self {
            Self::ConfigMap => names::plan_name(deployment),
            Self::ServiceAccount | Self::RoleBinding => names::account_name(deployment),
            Self::Service | Self::PodDisruptionBudget | Self::Deployment => deployment.to_owned(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// An object as it should be, ready for a server-side apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it, hash annotation included.
    pub manifest: Value,
    /// The hash of it without the annotation.
    pub hash: String,
}

/// Every object as it should be. Applying takes it apart field by field, so that a new one cannot be forgotten.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources<S> {
    /// The serving plan.
    pub plan: S,
    /// The sidecar's account; `None` where the template names its own.
    pub account: Option<S>,
    /// What the account may do.
    pub role_binding: S,
    /// The address of the sidecars.
    pub service: S,
    /// How many pods may be disturbed at once.
    pub disruption_budget: S,
    /// The pods.
    pub deployment: S,
}

impl<S> Resources<S> {
    /// The objects in the order of applying.
    pub fn into_ordered(self) -> Vec<S> {
        let Self { plan, account, role_binding, service, disruption_budget, deployment } = self;
        let mut ordered = vec![plan];
        ordered.extend(account);
        ordered.extend([role_binding, service, disruption_budget, deployment]);
        ordered
    }
}
