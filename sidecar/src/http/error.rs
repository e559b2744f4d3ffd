//! Everything that can go wrong with a request, and the only place that turns it into a status.
//!
//! A handler fails with an [`ApiError`]; it rides on a bare response until the layer of its protocol gives it
//! that protocol's own shape ([`as_problem`], [`as_libretranslate`] or [`as_vllm`]), so that no handler knows about
//! shapes.

mod shape;

use std::time::Duration;

use axum::http::StatusCode;
use ostler_crds::status::FailureLocation;
use ostler_inference::audio::AudioError;
use ostler_inference::engine::EngineError;
use serde::Serialize;

pub(super) use shape::{as_libretranslate, as_problem, as_vllm, from_panic};

/// Why a request got no answer. The text of each is fit for the client: it holds no secret and no raw input.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ApiError {
    /// A required field is absent or empty.
    #[error("Invalid request: missing {parameter} parameter")]
    MissingParameter {
        /// The field.
        parameter: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("{parameter}: {message}")]
    InvalidParameter {
        /// The field.
        parameter: String,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A field, or a value of it, that the protocol has and Ostler does not.
    #[error("{parameter} is not supported here: {message}")]
    UnsupportedParameter {
        /// The field.
        parameter: String,
        /// What to do instead.
        message: String,
    },
    /// The body is not what its media type says.
    #[error("the body is not {expected}: {message}")]
    MalformedBody {
        /// The format.
        expected: &'static str,
        /// Where it breaks.
        message: String,
    },
    /// The body has a media type that this endpoint does not read.
    #[error("the Content-Type is {found}; send {expected}")]
    UnsupportedMediaType {
        /// What was sent, escaped.
        found: String,
        /// What is read.
        expected: &'static str,
    },
    /// The body, or what it unpacks to, is over a limit.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, with its unit and what to do.
        limit: String,
    },
    /// The body came too slowly.
    #[error("the body took longer than {} s without enough progress; send it faster or smaller", allowed.as_secs())]
    BodyTooSlow {
        /// How long a body may stand still.
        allowed: Duration,
    },
    /// The client stopped before its body was complete.
    #[error("the body ended early")]
    BodyInterrupted,
    /// The file is no audio that can be decoded.
    #[error("file: {message}")]
    UnusableAudio {
        /// One PascalCase word.
        reason: &'static str,
        /// What is wrong, with the container and the codec.
        message: String,
    },
    /// There is no such model or version.
    #[error("{message}")]
    UnknownModel {
        /// What was asked for and what there is.
        message: String,
    },
    /// The model's version at this commit is no longer there: what it made cannot be made again here.
    #[error("{message}")]
    CommitGone {
        /// What was asked for and what there is.
        message: String,
    },
    /// There is no such pair of languages.
    #[error("{message}")]
    UnknownLanguagePair {
        /// What was asked for and what there is.
        message: String,
    },
    /// There is no such endpoint.
    #[error("there is no such endpoint; see GET /v1/models and GET /languages for what is served")]
    UnknownEndpoint,
    /// The endpoint has other methods.
    #[error("this endpoint does not have this method")]
    MethodNotAllowed,
    /// Everyone that could work on it is busy and enough others wait.
    #[error("{what}: too many requests are waiting; try again later")]
    Busy {
        /// What is full.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The model, and every fallback, could not be loaded, or not in time.
    #[error("{message}")]
    ModelUnavailable {
        /// What happened, in one line.
        message: String,
        /// What became of each version that was tried, in order.
        attempts: Vec<Attempt>,
        /// When to try again.
        retry_after: Duration,
    },
    /// The request took longer than one may.
    #[error("the answer took longer than {} s; send less at once", allowed.as_secs())]
    DeadlineExceeded {
        /// How long a request may take.
        allowed: Duration,
    },
    /// No failure: the client asked to be told rather than to wait, and asks again later.
    #[error("the version is being loaded; see {} and ask again", .0.location)]
    Deferred(Box<Deferred>),
    /// The process is on its way out.
    #[error("this replica is shutting down; ask another one")]
    ShuttingDown,
    /// The computation failed.
    #[error("{message}")]
    ComputeFailed {
        /// What failed.
        message: String,
    },
    /// A bug: a panic, or an answer of the wrong kind.
    #[error("internal error; the log has the request id")]
    Internal,
}

/// What a client is told whose request is not answered yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deferred {
    /// Where to see how far it is.
    pub(super) location: String,
    /// When to look, or to ask again.
    pub(super) retry_after: Duration,
    /// How far it is now.
    pub(super) progress: serde_json::Value,
}

/// What became of one version that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Attempt {
    /// `model@version`.
    pub(super) version: String,
    /// In which part of the way it failed.
    pub(super) location: FailureLocation,
    /// One PascalCase word.
    pub(super) reason: String,
    /// What happened.
    pub(super) message: String,
    /// Whether it is tried again without a change of the plan.
    pub(super) retryable: bool,
}

/// What the protocols need to know about an error.
struct Traits {
    status: StatusCode,
    /// One PascalCase word: the kind in the problem document and in metrics.
    kind: &'static str,
    /// The `error.code` of OpenAI's shape.
    code: &'static str,
}

impl ApiError {
    fn traits(&self) -> Traits {
        let (status, kind, code) = match self {
            Self::MissingParameter { .. } => (400, "MissingParameter", "missing_required_parameter"),
            Self::InvalidParameter { .. } => (400, "InvalidParameter", "invalid_value"),
            Self::UnsupportedParameter { .. } => (400, "UnsupportedParameter", "unsupported_parameter"),
            Self::MalformedBody { .. } => (400, "MalformedBody", "malformed_body"),
            Self::UnsupportedMediaType { .. } => (415, "UnsupportedMediaType", "unsupported_media_type"),
            Self::TooLarge { .. } => (413, "TooLarge", "content_too_large"),
            Self::BodyTooSlow { .. } => (408, "BodyTooSlow", "request_timeout"),
            Self::BodyInterrupted => (400, "BodyInterrupted", "malformed_body"),
            Self::UnusableAudio { reason, .. } => (400, *reason, "invalid_audio"),
            Self::UnknownModel { .. } => (404, "UnknownModel", "model_not_found"),
            Self::CommitGone { .. } => (410, "CommitGone", "model_gone"),
            Self::UnknownLanguagePair { .. } => (400, "UnknownLanguagePair", "unsupported_language"),
            Self::UnknownEndpoint => (404, "UnknownEndpoint", "unknown_url"),
            Self::MethodNotAllowed => (405, "MethodNotAllowed", "method_not_allowed"),
            Self::Busy { .. } => (429, "Busy", "rate_limit_exceeded"),
            Self::ModelUnavailable { .. } => (503, "ModelUnavailable", "model_unavailable"),
            Self::DeadlineExceeded { .. } => (504, "DeadlineExceeded", "deadline_exceeded"),
            Self::Deferred(_) => (202, "Deferred", "deferred"),
            Self::ShuttingDown => (503, "ShuttingDown", "shutting_down"),
            Self::ComputeFailed { .. } => (500, "ComputeFailed", "compute_failed"),
            Self::Internal => (500, "Internal", "internal_error"),
        };
        Traits {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            kind,
            code,
        }
    }

    /// The status that every protocol answers with.
    pub(super) fn status(&self) -> StatusCode {
        self.traits().status
    }

    /// Whether every equal request would fail in the same way.
    pub(super) fn is_of_the_request(&self) -> bool {
        self.status().is_client_error() && !matches!(self, Self::Busy { .. })
    }

    /// One PascalCase word for metrics and logs.
    pub(super) fn kind(&self) -> &'static str {
        self.traits().kind
    }

    fn parameter(&self) -> Option<&str> {
        match self {
            Self::MissingParameter { parameter } => Some(parameter),
            Self::InvalidParameter { parameter, .. } | Self::UnsupportedParameter { parameter, .. } => {
                Some(parameter)
            }
            Self::UnusableAudio { .. } => Some("file"),
            Self::UnknownModel { .. } | Self::CommitGone { .. } => Some("model"),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } | Self::ModelUnavailable { retry_after, .. } => Some(*retry_after),
            Self::Deferred(deferred) => Some(deferred.retry_after),
            Self::ShuttingDown => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// An engine's failure. `names` maps the job's fields to those of the endpoint.
    pub(super) fn engine(error: &EngineError, names: &[(&str, &str)]) -> Self {
        match error {
            EngineError::InvalidInput { parameter, message } => {
                let name = names.iter().find(|(field, _)| field == parameter);
                let parameter = name.map_or(*parameter, |(_, name)| name).to_owned();
                Self::InvalidParameter { parameter, message: message.clone() }
            }
            EngineError::WrongTask(_) => {
                Self::InvalidParameter { parameter: "model".to_owned(), message: error.to_string() }
            }
            // A client that went away hears nothing more, so whoever reads this was cut off by the shutdown.
            EngineError::Cancelled => Self::ShuttingDown,
            EngineError::NotFinite(_) | EngineError::Compute(_) | EngineError::Tokenizer(_) => {
                Self::ComputeFailed { message: error.to_string() }
            }
        }
    }
}

impl From<AudioError> for ApiError {
    fn from(error: AudioError) -> Self {
        match error {
            AudioError::TooLong { max_seconds } => {
                Self::TooLarge { what: "the audio", limit: format!("{max_seconds} s; split it") }
            }
            AudioError::TooManySamples { most } => {
                let limit = format!("{most} samples over all channels; send a lower rate or fewer channels");
                Self::TooLarge { what: "the audio", limit }
            }
            // As with an engine's: whoever reads this was cut off by the shutdown.
            AudioError::Cancelled => Self::ShuttingDown,
            error => Self::UnusableAudio { reason: error.reason(), message: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests;
