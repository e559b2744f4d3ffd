//! Who a request comes from.

/// Whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// As the client calls it, the same in other requests.
    Named(String),
    /// The client says nothing: the id of this one request.
    Request(String),
}

impl Subject {
    /// The text that the assignment to a version follows from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Named(text) | Self::Request(text) => text,
        }
    }

    /// The name that other requests may have too.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Request(_) => None,
        }
    }
}
