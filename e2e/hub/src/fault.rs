//! Scripted faults: which requests they meet, and what becomes of the answer.

use std::time::Duration;

use bytes::Bytes;

use crate::log::Part;

/// Which requests a fault meets.
#[derive(Debug, Clone, Default)]
pub struct On {
    part: Option<Part>,
    file: Option<String>,
}

impl On {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// The listings of repositories.
    #[must_use]
    pub fn listing() -> Self {
        Self { part: Some(Part::Listing), file: None }
    }

    /// The endpoint's answers for a file: the file itself, or the redirect to storage.
    #[must_use]
    pub fn resolve(file: &str) -> Self {
        Self { part: Some(Part::Resolve), file: Some(file.to_owned()) }
    }

    /// The storage's answers for a file.
    #[must_use]
    pub fn storage(file: &str) -> Self {
        Self { part: Some(Part::Storage), file: Some(file.to_owned()) }
    }

    /// The answers that carry a file's bytes, from the endpoint or from storage.
    #[must_use]
    pub fn file(file: &str) -> Self {
        Self { part: Some(Part::Bytes), file: Some(file.to_owned()) }
    }

    /// Whether a request to `part` for `file` is met; `carries_bytes` where the answer is no redirect.
    pub(crate) fn meets(&self, part: Part, file: Option<&str>, carries_bytes: bool) -> bool {
        let meets_part = match self.part {
            None => true,
            Some(Part::Bytes) => carries_bytes,
            Some(wanted) => wanted == part,
        };
        meets_part && self.file.as_deref().is_none_or(|wanted| Some(wanted) == file)
    }
}

/// What becomes of an answer. Built by chaining; several faults of one answer add up.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<Bytes>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) removed_headers: Vec<String>,
    pub(crate) truncate_at: Option<u64>,
    pub(crate) stall_after: Option<u64>,
    pub(crate) trickle: Option<(usize, Duration)>,
    pub(crate) flip_at: Option<u64>,
    pub(crate) ignores_ranges: bool,
    pub(crate) delay: Option<Duration>,
    pub(crate) remaining: Option<usize>,
}

impl Fault {
    /// A fault that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers with a status and an HTML error page.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let page = format!("<html><body><h1>{status}</h1></body></html>");
        Self { status: Some(status), body: Some(page.into()), ..Self::default() }
    }

    /// Answers with a redirect.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self { status: Some(302), body: Some(Bytes::new()), ..Self::default() }.header("location", location)
    }

    /// Puts another body in the place of the answer's own.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets a header, whatever it would have been.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a header out. Without `content-length` the body is sent in chunks.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.removed_headers.push(name.to_owned());
        self
    }

    /// Ends the body after so many bytes: with a declared length the connection breaks, without one it ends as if
    /// all were well.
    #[must_use]
    pub fn truncated_at(mut self, bytes: u64) -> Self {
        self.truncate_at = Some(bytes);
        self
    }

    /// Sends so many bytes and then nothing more, with the connection open.
    #[must_use]
    pub fn stalling_after(mut self, bytes: u64) -> Self {
        self.stall_after = Some(bytes);
        self
    }

    /// Sends the body in small pieces with a pause after each.
    #[must_use]
    pub fn trickling(mut self, piece: usize, pause: Duration) -> Self {
        self.trickle = Some((piece.max(1), pause));
        self
    }

    /// Flips one bit of the file's byte at a position.
    #[must_use]
    pub fn flipping(mut self, position: u64) -> Self {
        self.flip_at = Some(position);
        self
    }

    /// Answers with the whole file whatever range is asked for.
    #[must_use]
    pub fn ignoring_ranges(mut self) -> Self {
        self.ignores_ranges = true;
        self
    }

    /// Waits before the answer's head.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Meets only so many requests; without this it meets all.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.remaining = Some(times);
        self
    }
}

/// The faults of a hub, in the order in which they were scripted.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Vec<(On, Fault)>,
}

impl Script {
    pub(crate) fn add(&mut self, on: On, fault: Fault) {
        self.rules.push((on, fault));
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The first fault that meets a request and is not used up; one of its times is taken.
    pub(crate) fn take(&mut self, part: Part, file: Option<&str>, carries_bytes: bool) -> Option<Fault> {
        let (_, fault) = self
            .rules
            .iter_mut()
            .find(|(on, fault)| fault.remaining != Some(0) && on.meets(part, file, carries_bytes))?;
        if let Some(remaining) = &mut fault.remaining {
            *remaining -= 1;
        }
        Some(fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_used_up_in_order() {
        let mut script = Script::default();
        script.add(On::file("a"), Fault::status(503).times(2));
        script.add(On::any(), Fault::status(500).times(1));
        let mut take = |file| script.take(Part::Storage, Some(file), true).and_then(|fault| fault.status);
        assert_eq!(
            [take("a"), take("b"), take("b"), take("a"), take("a")],
            [Some(503), Some(500), None, Some(503), None]
        );
    }

    #[test]
    fn each_kind_meets_its_requests() {
        assert!(On::listing().meets(Part::Listing, None, false));
        assert!(!On::listing().meets(Part::Resolve, Some("a"), true));
        assert!(On::file("a").meets(Part::Resolve, Some("a"), true));
        assert!(!On::file("a").meets(Part::Resolve, Some("a"), false));
        assert!(On::resolve("a").meets(Part::Resolve, Some("a"), false));
        assert!(!On::storage("a").meets(Part::Storage, Some("b"), true));
    }
}
