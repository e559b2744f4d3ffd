//! The header `Prefer` of a request (RFC 7240): whether its client would rather be told than wait, and how long it waits.
//! Pure.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

/// The header's name.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The longest wait that is taken over from a client.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What a client prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Preference {
    /// To be answered 202 with a place to look at, where the answer takes longer than it waits.
    pub(super) responds_async: bool,
    /// How long it waits, where it says so.
    pub(super) wait: Option<Duration>,
}

/// Reads the preferences that are known; others are passed over, as is what cannot be read. Of several the first counts.
pub(super) fn read(headers: &HeaderMap) -> Preference {
    let mut preference = Preference::default();
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    for item in values.flat_map(|value| value.split(',')) {
        // What follows a semicolon are parameters, of which neither preference has any.
        let item = item.split(';').next().unwrap_or_default();
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => preference.responds_async = true,
            "wait" => {
                let seconds = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
                preference.wait = preference.wait.or(seconds.map(|wait| wait.min(MAX_WAIT)));
            }
            _ => {}
        }
    }
    preference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_preferences_are_read_and_others_passed_over() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (values, expected) in [
            (&[][..], (false, None)),
            (&["respond-async"], (true, None)),
            (&["Respond-Async, wait=10"], (true, seconds(10))),
            (&["return=minimal; foo=bar, wait = \"7\"", "respond-async"], (true, seconds(7))),
            (&["wait=5, wait=6"], (false, seconds(5))),
            (&["wait=99999, respond-async; x"], (true, seconds(60))),
            (&["wait=soon, respond-asynchronously"], (false, None)),
            (&["wait=-1"], (false, None)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, value.parse().unwrap());
            }
            let Preference { responds_async, wait } = read(&headers);
            assert_eq!((responds_async, wait), expected, "{values:?}");
        }
    }
}
