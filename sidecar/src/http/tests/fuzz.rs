//! Bodies and headers from anywhere become typed requests or errors that are the client's own: nothing else happens.

mod bodies;
mod headers;
mod multipart;

use super::super::error::ApiError;

/// Holds an error to be one of the client, told in one line, and gives it.
fn refused(error: &ApiError) -> String {
    let text = error.to_string();
    assert!((400..500).contains(&error.status().as_u16()), "{error}");
    assert!(text.len() < 2_000 && !text.chars().any(char::is_control), "{text:?}");
    format!("{} {text}", error.kind())
}
