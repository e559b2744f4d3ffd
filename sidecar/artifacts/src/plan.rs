//! Decides what is transferred: a pure function of what was chosen and of what is on disk.

use crate::blob::{Blob, Listed, Presence};

/// What a fetch has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Each blob once, with the path under which it is asked for and what is on disk.
    pub(crate) parts: Vec<Part>,
    /// The sizes of all parts.
    pub(crate) total_bytes: u64,
    /// What the disk must still take in.
    pub(crate) needed_bytes: u64,
}

/// One blob of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) blob: Blob,
    pub(crate) presence: Presence,
}

impl Part {
    /// How much of the blob is here.
    pub(crate) fn present_bytes(&self) -> u64 {
        match self.presence {
            Presence::Missing { partial_bytes } => partial_bytes.min(self.blob.size()),
            Presence::Corrupt => 0,
            Presence::Verified => self.blob.size(),
        }
    }

    /// How much of it the disk must still take in.
    pub(crate) fn missing_bytes(&self) -> u64 {
        self.blob.size() - self.present_bytes()
    }
}

/// The chosen files in the listing's order, or the name of one that is not listed.
pub(crate) fn choose(listed: &[Listed], chosen: &[String]) -> Result<Vec<Listed>, String> {
    if chosen.is_empty() {
        return Err("no file was chosen".to_owned());
    }
    for path in chosen {
        if !listed.iter().any(|file| file.path == *path) {
            return Err(format!("{path} is not among its files"));
        }
    }
    Ok(listed.iter().filter(|file| chosen.contains(&file.path)).cloned().collect())
}

/// Each blob of the chosen files once, under the first path that has it.
pub(crate) fn distinct(files: &[Listed]) -> Vec<Listed> {
    let mut seen = std::collections::HashSet::new();
    files.iter().filter(|file| seen.insert(&file.blob)).cloned().collect()
}

/// The plan for blobs whose presence is known.
pub(crate) fn plan(parts: Vec<Part>) -> Plan {
    let sum = |bytes: &dyn Fn(&Part) -> u64| parts.iter().map(bytes).fold(0, u64::saturating_add);
    let total_bytes = sum(&|part| part.blob.size());
    let needed_bytes = sum(&Part::missing_bytes);
    Plan { parts, total_bytes, needed_bytes }
}

/// The sentence that says how much room is missing, or nothing where there is enough. `promised_bytes` are what other
/// fetches still write.
pub(crate) fn missing_room(
    needed_bytes: u64,
    promised_bytes: u64,
    free_bytes: u64,
    reserve_bytes: u64,
) -> Option<String> {
    let wanted = needed_bytes.saturating_add(promised_bytes).saturating_add(reserve_bytes);
    let is_enough = needed_bytes == 0 || wanted <= free_bytes;
    (!is_enough).then(|| {
        let others = match promised_bytes {
            0 => String::new(),
            promised_bytes => format!(", {promised_bytes} more by fetches that run,"),
        };
        format!(
            "{needed_bytes} bytes are to be fetched{others} and {reserve_bytes} kept free, but only {free_bytes} are free"
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(path: &str, digit: &str, size: u64) -> Listed {
        Listed { path: path.to_owned(), blob: Blob::named(&digit.repeat(64), size).unwrap() }
    }

    #[test]
    fn choices_must_be_listed() {
        let files = [listed("a", "1", 1), listed("b", "2", 1)];
        let choose = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            choose(&files, &paths)
        };
        assert_eq!(choose(&["b", "a", "b"]).unwrap(), files);
        assert!(choose(&["a", "c"]).unwrap_err().contains('c'));
        assert!(choose(&[]).is_err());
    }

    #[test]
    fn a_blob_under_two_paths_is_fetched_once() {
        let files = [listed("a", "1", 1), listed("b", "1", 1), listed("c", "2", 1)];
        assert_eq!(distinct(&files), [files[0].clone(), files[2].clone()]);
    }

    #[test]
    fn room_is_counted_with_its_reserve() {
        assert!(missing_room(0, 9, 0, 16).is_none());
        assert!(missing_room(10, 0, 26, 16).is_none());
        assert!(missing_room(10, 0, 25, 16).is_some());
        assert!(missing_room(10, 4, 30, 16).is_none());
        let others = missing_room(10, 5, 30, 16).unwrap();
        assert!(others.contains("10 bytes") && others.contains("5 more"), "{others}");
        assert!(missing_room(u64::MAX, u64::MAX, u64::MAX - 1, 16).is_some());
    }

    proptest! {
        #[test]
        fn what_is_here_is_not_needed(sizes in proptest::collection::vec((0_u64..1000, 0_u64..2000, 0_u8..3), 0..20)) {
            let parts = sizes.iter().map(|(size, partial_bytes, state)| Part {
                path: String::new(),
                blob: Blob::named(&"a".repeat(64), *size).unwrap(),
                presence: match state {
                    0 => Presence::Missing { partial_bytes: *partial_bytes },
                    1 => Presence::Corrupt,
                    _ => Presence::Verified,
                },
            }).collect();
            let plan = plan(parts);
            let present: u64 = plan.parts.iter().map(Part::present_bytes).sum();
            prop_assert_eq!(plan.total_bytes, present + plan.needed_bytes);
        }
    }
}
