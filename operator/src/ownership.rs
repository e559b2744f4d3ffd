//! Whether the names that the operator needs are its own to use. Pure.

use std::collections::BTreeMap;

use crate::observed::Live;
use crate::resources::Kind;
use crate::validated::ValidatedDeployment;

/// Why an object may not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// It belongs to somebody else.
    #[error(
        "{kind} {name} exists and is not controlled by this ModelDeployment: delete or rename it, or rename the ModelDeployment"
    )]
    NameConflict {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// It is what a predecessor of the same name left, and is on its way out.
    #[error("{kind} {name} is still being deleted")]
    BeingDeleted {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
}

/// Checks that every object that is to be written is ours or absent.
///
/// # Errors
/// The first that is not.
pub fn check(
    deployment: &ValidatedDeployment,
    live: &BTreeMap<(Kind, String), Live>,
) -> Result<(), OwnershipError> {
    let identity = &deployment.identity;
    for kind in Kind::ALL {
        if kind == Kind::ServiceAccount && deployment.template.service_account.is_some() {
            continue;
        }
        let name = kind.object_name(&identity.name);
        let Some(found) = live.get(&(kind, name.clone())) else { continue };
        let predecessor = found.controller.as_ref().is_some_and(|(kind, owner, uid)| {
            kind == &identity.owner.kind && owner == &identity.name && uid != &identity.owner.uid
        });
        let ours = found.controller.as_ref().is_some_and(|(_, _, uid)| uid == &identity.owner.uid);
        if predecessor || (ours && found.deleting) {
            return Err(OwnershipError::BeingDeleted { kind, name });
        }
        if !ours {
            return Err(OwnershipError::NameConflict { kind, name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{deployment, model};

    #[test]
    fn only_what_is_ours_or_absent_is_written() {
        let spec = deployment().model(model("m").version("v1", "hf://a/b")).validated();
        let kind = Kind::Service;
        let controlled = |kind: &str, name: &str, uid: &str, deleting| Live {
            controller: Some((kind.into(), name.into(), uid.into())),
            deleting,
            ..Live::default()
        };
        let conflict = Err(OwnershipError::NameConflict { kind, name: "vt".into() });
        let leaving = Err(OwnershipError::BeingDeleted { kind, name: "vt".into() });
        let cases = [
            (None, Ok(())),
            (Some(Live::default()), conflict.clone()),
            (Some(controlled("ModelDeployment", "vt", "uid-of-vt", false)), Ok(())),
            (Some(controlled("ModelDeployment", "vt", "uid-of-vt", true)), leaving.clone()),
            (Some(controlled("ModelDeployment", "vt", "before", false)), leaving),
            (Some(controlled("ModelDeployment", "other", "it", false)), conflict.clone()),
            (Some(controlled("Deployment", "vt", "it", false)), conflict),
        ];
        for (found, expected) in cases {
            let live: BTreeMap<_, _> =
                found.clone().map(|found| ((kind, "vt".to_owned()), found)).into_iter().collect();
            assert_eq!(check(&spec, &live), expected, "{found:?}");
        }
    }

    #[test]
    fn an_account_that_is_not_made_cannot_conflict() {
        let live = BTreeMap::from([((Kind::ServiceAccount, "vt-sidecar".to_owned()), Live::default())]);
        let spec = deployment().model(model("m").version("v1", "hf://a/b"));
        assert!(check(&spec.clone().validated(), &live).is_err());
        let template = serde_json::json!({"spec": {"serviceAccountName": "own"}});
        assert_eq!(check(&spec.spec("template", template).validated(), &live), Ok(()));
    }
}
