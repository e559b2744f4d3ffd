//! Everything that can go wrong between here and the Hub.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::file_path::UnsafePath;

/// What a request asked for, for messages and reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A repository as a whole.
    Repository,
    /// A branch, tag or commit of one.
    Revision,
    /// A file at a commit.
    File,
}

impl std::fmt::Display for Resource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Repository => "repository",
            Self::Revision => "revision",
            Self::File => "file",
        })
    }
}

/// Why the Hub could not be asked, or what it answered instead. `subject` says what was asked for; addresses are
/// given without their query, because signed addresses are credentials.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The settings make no client.
    #[error("hub endpoint {endpoint} {problem}")]
    Endpoint {
        /// The endpoint, without credentials.
        endpoint: String,
        /// What is wrong and what to write instead.
        problem: &'static str,
    },
    /// The HTTP client could not be built.
    #[error(
        "HTTP client for the hub could not be built; it needs root certificates (ca-certificates, or SSL_CERT_FILE)"
    )]
    Client {
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
    /// The token's file could not be used.
    #[error("token file {} could not be read", path.display())]
    TokenUnreadable {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// A file name that would leave the repository's folder.
    #[error(transparent)]
    UnsafePath(#[from] UnsafePath),
    /// The Hub has no such thing, or hides it from this token.
    #[error("{resource} of {subject} does not exist, or the token may not see it")]
    NotFound {
        /// What is missing.
        resource: Resource,
        /// What was asked for.
        subject: String,
    },
    /// The token is missing, wrong, or may not do this.
    #[error("{subject}: the hub answered {status}; give a token that may read it in spec.hub.tokenSecretRef")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// What was asked for.
        subject: String,
    },
    /// Access must be asked for on the Hub first.
    #[error("{subject} is gated: ask for access on its page at the hub, then give a token that has it")]
    Gated {
        /// What was asked for.
        subject: String,
    },
    /// Too many requests.
    #[error("{subject}: the hub's rate limit is reached")]
    RateLimited {
        /// How long the Hub asks to wait.
        retry_after: Option<Duration>,
        /// What was asked for.
        subject: String,
    },
    /// The Hub or its storage answers with an error of its own, or does not answer at all.
    #[error("{subject}: the hub is unavailable: {detail}")]
    HubUnavailable {
        /// How long the Hub asks to wait.
        retry_after: Option<Duration>,
        /// What was asked for.
        subject: String,
        /// The status, or the step that failed.
        detail: String,
        /// What failed, where it was the connection.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// Nothing, or too little, came within the bound.
    #[error("{subject}: {detail}")]
    Stalled {
        /// What was asked for.
        subject: String,
        /// Which bound was passed.
        detail: String,
    },
    /// The connection broke within a body.
    #[error("{subject}: the connection broke within the body")]
    Interrupted {
        /// What was asked for.
        subject: String,
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
    /// The asked range lies beyond the file's end.
    #[error("{subject}: the file has no byte {offset}")]
    RangeRefused {
        /// What was asked for.
        subject: String,
        /// The first byte asked for.
        offset: u64,
    },
    /// A redirect that must not be followed.
    #[error("{subject}: redirect to {target} refused: {problem}")]
    RedirectRefused {
        /// What was asked for.
        subject: String,
        /// Where it leads, without its query.
        target: String,
        /// Why it is refused and what allows it.
        problem: &'static str,
    },
    /// A status that the Hub's interface does not have here.
    #[error("{subject}: the hub answered with the unexpected status {status}")]
    UnexpectedStatus {
        /// The status.
        status: u16,
        /// What was asked for.
        subject: String,
    },
    /// An answer that cannot be what the Hub means.
    #[error("{subject}: malformed answer: {problem}")]
    MalformedAnswer {
        /// What was asked for.
        subject: String,
        /// Which part is wrong and how.
        problem: String,
    },
    /// The host's name has no address.
    #[error("{subject}: host {host} could not be resolved")]
    Dns {
        /// What was asked for.
        subject: String,
        /// The name.
        host: String,
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
    /// No trusted connection: a bad certificate, a wrong clock, or no TLS at the other end.
    #[error(
        "{subject}: no trusted TLS connection to {host}; check its certificate, the trusted roots and the clock"
    )]
    Tls {
        /// What was asked for.
        subject: String,
        /// The host.
        host: String,
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
}

impl HubError {
    /// The reason for conditions and metrics: one PascalCase word from a fixed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } | Self::Client { .. } => "HubMisconfigured",
            Self::TokenUnreadable { .. } => "TokenUnreadable",
            Self::UnsafePath(_) => "UnsafePath",
            Self::NotFound { resource: Resource::Repository, .. } => "RepositoryNotFound",
            Self::NotFound { resource: Resource::Revision, .. } => "RevisionNotFound",
            Self::NotFound { resource: Resource::File, .. } => "FileNotFound",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Gated { .. } => "GatedRepository",
            Self::RateLimited { .. } => "RateLimited",
            Self::HubUnavailable { .. } | Self::Interrupted { .. } => "HubUnavailable",
            Self::Stalled { .. } => "HubStalled",
            Self::RangeRefused { .. } => "RangeRefused",
            Self::RedirectRefused { .. } => "RedirectRefused",
            Self::UnexpectedStatus { .. } => "UnexpectedStatus",
            Self::MalformedAnswer { .. } => "MalformedAnswer",
            Self::Dns { .. } => "DnsFailed",
            Self::Tls { .. } => "TlsFailed",
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::HubUnavailable { .. }
            | Self::Stalled { .. }
            | Self::Interrupted { .. }
            | Self::Dns { .. } => true,
            Self::Endpoint { .. }
            | Self::Client { .. }
            | Self::TokenUnreadable { .. }
            | Self::UnsafePath(_)
            | Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Gated { .. }
            | Self::RangeRefused { .. }
            | Self::RedirectRefused { .. }
            | Self::UnexpectedStatus { .. }
            | Self::MalformedAnswer { .. }
            | Self::Tls { .. } => false,
        }
    }

    /// How long the Hub asked to wait before the next request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::HubUnavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An address for messages: without user, password, query and fragment.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for addresses that cannot hold credentials in the first place.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut text = url.to_string();
    if text.len() > 256 {
        let end = (0..=256).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
