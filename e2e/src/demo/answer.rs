//! An HTTP answer, taken apart for what the demo shows of it.

use serde_json::Value;

/// An HTTP answer as `curl -i` prints it.
pub(super) struct Answer {
    /// Head and body.
    pub(super) whole: String,
}

impl Answer {
    fn head_and_body(&self) -> (&str, &str) {
        self.whole.split_once("\r\n\r\n").unwrap_or((&self.whole, ""))
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.head_and_body();
        let value = |line: &str| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        head.lines().find_map(value)
    }

    /// A text of the JSON body.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let (_, body) = self.head_and_body();
        Some(serde_json::from_str::<Value>(body).ok()?[name].as_str()?.trim().to_owned())
    }

    /// The status, the headers that tell where the answer came from, and the body.
    pub(super) fn shown(&self) -> String {
        let (head, body) = self.head_and_body();
        let ours = |line: &&str| line.starts_with("HTTP/") || line.starts_with("x-ostler-");
        let head: Vec<&str> = head.lines().filter(ours).collect();
        format!("{}\n\n{body}", head.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let whole =
            "HTTP/1.1 200 OK\r\nx-ostler-version: v1\r\nDate: x\r\n\r\n{\"text\": \" null \"}".to_owned();
        let answer = Answer { whole };
        assert_eq!(answer.header("X-Ostler-Version").as_deref(), Some("v1"));
        assert_eq!(answer.field("text").as_deref(), Some("null"));
        assert_eq!(answer.shown(), "HTTP/1.1 200 OK\nx-ostler-version: v1\n\n{\"text\": \" null \"}");
    }

    #[test]
    fn an_answer_without_a_body_has_no_field() {
        let answer = Answer { whole: "curl: nothing".to_owned() };
        assert_eq!((answer.header("a"), answer.field("text")), (None, None));
    }
}
