//! Who asked for what, by the API server's own audit log.

use std::path::Path;

use serde::Deserialize;

/// The audit policy: one line for each finished write, and for each of the operator's reads, without content. A watch
/// is noted as it begins.
pub const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
  users: ['system:serviceaccount:ostler-system:ostler']
";

/// One request that the API server answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The verb, such as `patch`.
    pub verb: String,
    /// The path that was asked for.
    #[serde(rename = "requestURI")]
    pub uri: String,
    /// Who asked.
    pub user: User,
    /// What was asked for; absent for paths that are no objects.
    #[serde(default)]
    pub object_ref: Option<ObjectReference>,
    /// How it was answered.
    #[serde(default)]
    pub response_status: Option<ResponseStatus>,
}

/// Who asked.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// The name that the API server knows them by.
    pub username: String,
}

/// What was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    /// The plural of its kind.
    pub resource: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `status` for a write to that subresource.
    pub subresource: String,
}

/// How a request was answered.
#[derive(Debug, Clone, Deserialize)]
pub struct ResponseStatus {
    /// The HTTP status.
    pub code: u16,
}

impl Request {
    /// Whether it would change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb.as_str())
    }

    /// Whether the API server forbade it.
    #[must_use]
    pub fn was_forbidden(&self) -> bool {
        self.response_status.as_ref().is_some_and(|status| status.code == 403)
    }

    /// Whether `user` asked for it in `namespace`.
    #[must_use]
    pub fn is(&self, user: &str, namespace: &str) -> bool {
        self.user.username == user
            && self.object_ref.as_ref().is_some_and(|reference| reference.namespace == namespace)
    }
}

/// Every request so far, oldest first.
///
/// # Panics
/// When the log cannot be read.
#[must_use]
pub fn requests(log: &Path) -> Vec<Request> {
    let text = std::fs::read_to_string(log).expect("the API server writes an audit log");
    // The last line may be half written; it is read next time.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
