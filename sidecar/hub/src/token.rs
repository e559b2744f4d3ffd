//! The token: read from its file on each use, sent, and forgotten.

use std::path::Path;

use reqwest::header::HeaderValue;

use crate::error::HubError;

/// More than any token of the Hub is long; a larger file is not a token.
const MAX_TOKEN_BYTES: u64 = 8192;

/// Reads the `Authorization` value from a token file. The value is marked sensitive, so that `Debug` hides it.
pub(crate) async fn authorization(path: &Path) -> Result<HeaderValue, HubError> {
    let unreadable = |source| HubError::TokenUnreadable { path: path.to_owned(), source };
    let invalid = |problem| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
    let length = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if length > MAX_TOKEN_BYTES {
        return Err(invalid("it is larger than 8192 bytes, so it is no token"));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(unreadable)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(invalid("it is empty; write the token into it"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| invalid("it holds characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}
