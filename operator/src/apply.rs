//! Writes the objects: server-side apply, and removes what is no longer wanted. OUT.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::context::{Context, Written};
use crate::leadership::NotLeading;
use crate::names::{self, FIELD_MANAGER};
use crate::objects;
use crate::observed::Live;
use crate::resources::{Kind, Prepared, Resources};
use crate::validated::Identity;

/// Why an object could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another replica may lead now.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The API server says that the object can never be like that.
    #[error("the API server refuses {kind} {name}: {message}")]
    Rejected {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// The API server's own words.
        message: String,
    },
    /// The object has changed since it was read.
    #[error("{kind} {name} has changed in the meantime")]
    Moved {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The request failed.
    #[error("{kind} {name} could not be written")]
    Request {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// What failed.
        #[source]
        source: kube::Error,
    },
}

/// Applies every object in order and removes what is no longer wanted. Returns the Deployment's generation.
///
/// # Errors
/// The first that could not be written; those after it are left as they are.
pub async fn apply(
    identity: &Identity,
    resources: Resources<Prepared>,
    live: &BTreeMap<(Kind, String), Live>,
    context: &Context,
) -> Result<Resources<Live>, ApplyError> {
    let Resources { plan, account, role_binding, service, disruption_budget, deployment } = resources;
    let writer = Writer { identity, live, context };
    let no_account = account.is_none();
    let applied = Resources {
        plan: writer.write(plan).await?,
        account: match account {
            Some(account) => Some(writer.write(account).await?),
            None => None,
        },
        role_binding: writer.write(role_binding).await?,
        service: writer.write(service).await?,
        disruption_budget: writer.write(disruption_budget).await?,
        deployment: writer.write(deployment).await?,
    };
    if no_account {
        writer.remove(Kind::ServiceAccount, &names::account_name(&identity.name)).await?;
    }
    Ok(applied)
}

struct Writer<'a> {
    identity: &'a Identity,
    live: &'a BTreeMap<(Kind, String), Live>,
    context: &'a Context,
}

impl Writer<'_> {
    async fn write(&self, prepared: Prepared) -> Result<Live, ApplyError> {
        let Prepared { kind, name, manifest, hash } = prepared;
        let owner = &self.identity.owner.uid;
        let found = self.live.get(&(kind, name.clone()));
        if let Some(found) = found
            && self.context.memory.written(owner, kind) == Some(Written::of(found, hash.clone()))
        {
            return Ok(found.clone());
        }
        let written = match self.patch(kind, &name, &manifest, found).await {
            // What a binding refers to can never be changed, only bound anew.
            Err(ApplyError::Rejected { .. }) if kind == Kind::RoleBinding && found.is_some() => {
                self.remove(kind, &name).await?;
                self.patch(kind, &name, &manifest, None).await?
            }
            written => written?,
        };
        self.context.memory.wrote(owner, kind, Written::of(&written, hash));
        Ok(written)
    }

    async fn patch(
        &self,
        kind: Kind,
        name: &str,
        manifest: &Value,
        found: Option<&Live>,
    ) -> Result<Live, ApplyError> {
        let mut manifest = manifest.clone();
        if let Some(found) = found {
            // An object that was deleted and made anew since it was read is somebody else's.
            manifest["metadata"]["uid"] = json!(found.uid);
            if kind == Kind::ConfigMap {
                // Pins are made on the plan that was read: one who was asleep meanwhile must not write over newer ones.
                manifest["metadata"]["resourceVersion"] = json!(found.resource_version);
            }
        }
        self.context.fence.check()?;
        self.context.metrics.writes.with_label_values(&[kind.to_string()]).inc();
        let api = objects::api(&self.context.client, &self.identity.namespace, kind);
        let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        let patched = api.patch(name, &parameters, &Patch::Apply(&manifest)).await;
        let patched = patched.map_err(|source| refused(kind, name.to_owned(), source))?;
        tracing::info!(%kind, name, namespace = self.identity.namespace, "applied");
        Ok(Live::from(&patched.metadata))
    }

    /// Removes an object that this owner once made, and that very one.
    async fn remove(&self, kind: Kind, name: &str) -> Result<(), ApplyError> {
        let Some(found) = self.live.get(&(kind, name.to_owned())) else { return Ok(()) };
        let ours = found.controller.as_ref().is_some_and(|(_, _, uid)| uid == &self.identity.owner.uid);
        if !ours || found.deleting {
            return Ok(());
        }
        self.context.fence.check()?;
        self.context.metrics.writes.with_label_values(&[kind.to_string()]).inc();
        let preconditions = Preconditions { uid: Some(found.uid.clone()), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let api = objects::api(&self.context.client, &self.identity.namespace, kind);
        match api.delete(name, &parameters).await {
            Ok(_) => {
                tracing::info!(%kind, name, namespace = self.identity.namespace, "removed");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(refused(kind, name.to_owned(), source)),
        }
    }
}

/// Tells what can never work from what may work next time. An apply whose fields the API server does not know fails
/// before validation, with a status that says no more than that the server could not do it.
fn refused(kind: Kind, name: String, source: kube::Error) -> ApplyError {
    match source {
        kube::Error::Api(status) if status.code == 409 => ApplyError::Moved { kind, name },
        kube::Error::Api(status)
            if matches!(status.code, 400 | 422)
                || status.message.contains("failed to create typed patch object") =>
        {
            ApplyError::Rejected { kind, name, message: status.message.clone() }
        }
        source => ApplyError::Request { kind, name, source },
    }
}
