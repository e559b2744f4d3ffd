//! The response headers that say what produced an answer, so that a pipeline can record it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::headers as names;
use crate::lease::{Fallback, Provenance};

/// Who had a part in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credit {
    /// What produced the part.
    pub(super) provenance: Provenance,
    /// Whether it was there, or in the making, before it was asked for; `None` where the model keeps no answers.
    pub(super) is_hit: Option<bool>,
}

/// Adds the headers of each version that had a part in the answer, once each, in the order of use. The answer is a hit
/// where nothing of it that is kept had to be computed.
pub(super) fn add(headers: &mut HeaderMap, used: &[Credit]) {
    let hits: Vec<bool> = used.iter().filter_map(|credit| credit.is_hit).collect();
    if !hits.is_empty() {
        append(headers, names::CACHE, if hits.iter().all(|is_hit| *is_hit) { "hit" } else { "miss" });
    }
    for Credit { provenance, .. } in used {
        append(headers, names::MODEL, provenance.model.as_str());
        append(headers, names::VERSION, provenance.version.as_str());
        append(headers, names::REVISION, &provenance.revision);
        append(headers, names::DTYPE, &provenance.dtype.to_string());
        if let Some(fallback) = &provenance.fallback {
            let Fallback { chosen, location, reason, .. } = fallback;
            append(headers, names::FALLBACK, &format!("{chosen}; location={location:?}; reason={reason}"));
        }
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Names and commits are plain ASCII; a value that is not would be no header and is left out.
    let Ok(value) = HeaderValue::from_str(value) else { return };
    if !headers.get_all(&name).iter().any(|present| present == value) {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use ostler_crds::names::Dtype;
    use ostler_crds::status::FailureLocation;

    use super::*;

    fn provenance(version: &str, revision: &str, fallback: Option<&str>) -> Credit {
        let provenance = Provenance {
            model: "translation".parse().unwrap(),
            version: version.parse().unwrap(),
            language_pair: None,
            revision: revision.to_owned(),
            dtype: Dtype::Float32,
            fallback: fallback.map(|chosen| Fallback {
                chosen: chosen.parse().unwrap(),
                location: FailureLocation::Load,
                reason: "Corrupted".to_owned(),
                message: "the hash differs".to_owned(),
            }),
        };
        Credit { provenance, is_hit: None }
    }

    #[test]
    fn an_answer_is_a_hit_where_no_part_of_it_was_computed() {
        for (parts, expected) in [
            (&[None][..], None),
            (&[Some(true), Some(true)], Some("hit")),
            (&[Some(true), None], Some("hit")),
            (&[Some(true), Some(false)], Some("miss")),
            (&[Some(false)], Some("miss")),
        ] {
            let mut headers = HeaderMap::new();
            let part = |is_hit: &Option<bool>| Credit { is_hit: *is_hit, ..provenance("v1", "abc", None) };
            add(&mut headers, &parts.iter().map(part).collect::<Vec<_>>());
            let found = headers.get("x-ostler-cache").map(|value| value.to_str().unwrap());
            assert_eq!(found, expected, "{parts:?}");
        }
    }

    #[test]
    fn one_version_has_one_value_each_and_a_fallback_names_the_chosen_one_and_its_failure() {
        let mut headers = HeaderMap::new();
        add(&mut headers, &[provenance("v1", "abc", Some("v2"))]);
        for (name, value) in [
            ("x-ostler-model", "translation"),
            ("x-ostler-version", "v1"),
            ("x-ostler-revision", "abc"),
            ("x-ostler-dtype", "float32"),
            ("x-ostler-fallback", "v2; location=Load; reason=Corrupted"),
        ] {
            assert_eq!(headers[name], value);
        }
    }

    #[test]
    fn several_versions_are_listed_once_each() {
        let mut headers = HeaderMap::new();
        add(
            &mut headers,
            &[provenance("v1", "abc", None), provenance("v1", "def", None), provenance("v1", "abc", None)],
        );
        let values = |name: &str| {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values("x-ostler-version"), ["v1"]);
        assert_eq!(values("x-ostler-revision"), ["abc", "def"]);
        assert!(values("x-ostler-fallback").is_empty());
    }

    #[test]
    fn a_revision_that_would_break_a_header_is_left_out() {
        let mut headers = HeaderMap::new();
        add(&mut headers, &[provenance("v1", "a\r\nset-cookie: x", None)]);
        assert!(!headers.contains_key("x-ostler-revision"));
    }
}
