//! The loads that clients have been told of and that nobody's connection waits for. Something has to wait for them all the
//! same, or they would be stopped; how many at once is bounded.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::target::VersionKey;

/// The most versions that are waited for in this way at once.
const MOST: usize = 32;

/// The versions that are waited for. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldLoads(Arc<Mutex<BTreeSet<VersionKey>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct HeldLoad {
    key: VersionKey,
    all: HeldLoads,
}

/// Whether a version may be waited for.
#[derive(Debug)]
pub(super) enum Begun {
    /// Yes, and nobody else does.
    Held(HeldLoad),
    /// Somebody does already.
    Already,
    /// There are too many.
    Full,
}

impl HeldLoads {
    /// Begins to wait for a version.
    pub(super) fn begin(&self, key: &VersionKey) -> Begun {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(key) {
            return Begun::Already;
        }
        if keys.len() >= MOST {
            return Begun::Full;
        }
        keys.insert(key.clone());
        Begun::Held(HeldLoad { key: key.clone(), all: self.clone() })
    }
}

impl Drop for HeldLoad {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> VersionKey {
        VersionKey {
            model: format!("m{number}").parse().unwrap(),
            version: "v1".parse().unwrap(),
            language_pair: None,
            retired: None,
        }
    }

    #[test]
    fn each_version_is_held_once_and_so_many_at_most() {
        let loads = HeldLoads::default();
        let mut held: Vec<Begun> = (0..MOST).map(|number| loads.begin(&key(number))).collect();
        assert!(held.iter().all(|begun| matches!(begun, Begun::Held(_))));
        assert!(matches!(loads.begin(&key(0)), Begun::Already));
        assert!(matches!(loads.begin(&key(MOST)), Begun::Full));
        held.pop();
        assert!(matches!(loads.begin(&key(MOST)), Begun::Held(_)));
    }
}
