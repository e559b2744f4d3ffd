//! The body of one file, piece by piece, under the bounds of waiting and of rate.

use std::time::Instant;

use bytes::Bytes;

use crate::error::HubError;
use crate::head::body_head;
use crate::rate::RateGuard;
use crate::settings::HubBounds;

/// A body that is being received. Dropping it closes the transfer.
pub struct Download {
    response: reqwest::Response,
    subject: String,
    offset: u64,
    declared_size: Option<u64>,
    idle: std::time::Duration,
    rate: RateGuard,
}

/// Without the response, which holds the signed address.
impl std::fmt::Debug for Download {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Download")
            .field("subject", &self.subject)
            .field("offset", &self.offset)
            .field("declared_size", &self.declared_size)
            .finish_non_exhaustive()
    }
}

impl Download {
    pub(crate) fn new(
        response: reqwest::Response,
        subject: String,
        asked_offset: u64,
        linked_size: Option<u64>,
        bounds: &HubBounds,
    ) -> Result<Self, HubError> {
        let is_partial = response.status().as_u16() == 206;
        let head = body_head(is_partial, response.headers(), asked_offset, linked_size)
            .map_err(|problem| HubError::MalformedAnswer { subject: subject.clone(), problem })?;
        Ok(Self {
            response,
            subject,
            offset: head.offset,
            declared_size: head.declared_size,
            idle: bounds.idle,
            rate: RateGuard::new(bounds.rate_window, bounds.minimum_rate),
        })
    }

    /// The position in the file of the body's first byte: the one asked for, or 0 where the server does not know
    /// ranges.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The whole file's length as the answer's head declares it, where it does.
    #[must_use]
    pub fn declared_size(&self) -> Option<u64> {
        self.declared_size
    }

    /// The next piece of the body, or nothing at its end.
    ///
    /// # Errors
    /// `Stalled` where nothing comes in time or too little over a window, `Interrupted` where the connection breaks
    /// or ends before the declared length.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, HubError> {
        let bound = self.idle.min(self.rate.remaining().max(std::time::Duration::from_millis(1)));
        let start = Instant::now();
        let received = tokio::time::timeout(bound, self.response.chunk()).await;
        let waited = start.elapsed();
        match received {
            Err(_) if waited >= self.idle => {
                Err(self.stalled(format!("no byte of the body within {:?}", self.idle)))
            }
            Err(_) if self.rate.observe(waited, 0) => Ok(Some(Bytes::new())),
            Err(_) => Err(self.too_slow()),
            Ok(Err(error)) => {
                Err(HubError::Interrupted { subject: self.subject.clone(), source: error.without_url() })
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(bytes))) if self.rate.observe(waited, bytes.len()) => Ok(Some(bytes)),
            Ok(Ok(Some(_))) => Err(self.too_slow()),
        }
    }

    fn too_slow(&self) -> HubError {
        self.stalled("the body comes slower than the minimum rate".to_owned())
    }

    fn stalled(&self, detail: String) -> HubError {
        HubError::Stalled { subject: self.subject.clone(), detail }
    }
}
