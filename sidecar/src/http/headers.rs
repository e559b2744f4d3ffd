//! The names of the headers that Ostler adds to the protocols it speaks.

use axum::http::HeaderName;

/// Request: the model for protocols whose body names none. Response: the model that answered.
pub(super) const MODEL: HeaderName = HeaderName::from_static("x-ostler-model");
/// Request: the version or commit asked for. Response: the version that answered.
pub(super) const VERSION: HeaderName = HeaderName::from_static("x-ostler-version");
/// Request: what the split of traffic hashes, so that the same subject always gets the same version.
pub(super) const SUBJECT: HeaderName = HeaderName::from_static("x-ostler-subject");
/// Request: the commit asked for, as an earlier answer had it. Response: the commit, or the digest of a local folder,
/// that answered.
pub(super) const REVISION: HeaderName = HeaderName::from_static("x-ostler-revision");
/// Response: the number format that computed the answer.
pub(super) const DTYPE: HeaderName = HeaderName::from_static("x-ostler-dtype");
/// Response: the version that should have answered, and where and why it failed, such as
/// `v2; location=Load; reason=Corrupted`; present only where a fallback did.
pub(super) const FALLBACK: HeaderName = HeaderName::from_static("x-ostler-fallback");
/// Response, where the model keeps its answers: `hit` or `miss`.
pub(super) const CACHE: HeaderName = HeaderName::from_static("x-ostler-cache");
/// Request and response: ties a request to its lines in the log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Response: tells OpenAI's clients whether asking again can help, whatever the status says.
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Response: the preference of the request that was met (RFC 7240).
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
