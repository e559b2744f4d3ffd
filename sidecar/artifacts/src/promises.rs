//! Room that fetches of this process were promised and have not used yet, so that two that begin together are not both
//! promised the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that are still to be written, blob by blob; one that several fetches want is written once.
#[derive(Debug, Default)]
pub(crate) struct Promises(Mutex<BTreeMap<PathBuf, Promised>>);

#[derive(Debug)]
struct Promised {
    fetches: usize,
    left_bytes: u64,
}

/// Room for the blobs of one fetch, until it is dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    promises: Arc<Promises>,
    blobs: Vec<PathBuf>,
}

impl Promises {
    /// Promises room for blobs, each with the bytes that it still needs, where `missing` has nothing to say about the
    /// bytes that others were promised for other blobs. `missing` measures what is free: by the time that bytes no longer
    /// count as promised, they are no longer free, so in between they count twice rather than not at all.
    ///
    /// # Errors
    /// What `missing` fails with, and what it says.
    pub(crate) fn promise<E, M>(
        self: &Arc<Self>,
        wanted: Vec<(PathBuf, u64)>,
        missing: impl FnOnce(u64) -> Result<Option<M>, E>,
    ) -> Result<Result<Promise, M>, E> {
        let mut promised = self.lock();
        let is_wanted = |blob: &PathBuf| wanted.iter().any(|(wanted, _)| wanted == blob);
        let others = promised.iter().filter(|(blob, _)| !is_wanted(blob)).map(|(_, other)| other.left_bytes);
        if let Some(missing) = missing(others.fold(0, u64::saturating_add))? {
            return Ok(Err(missing));
        }
        let mut blobs = Vec::with_capacity(wanted.len());
        for (blob, left_bytes) in wanted {
            let entry = promised.entry(blob.clone()).or_insert(Promised { fetches: 0, left_bytes });
            entry.fetches += 1;
            entry.left_bytes = left_bytes;
            blobs.push(blob);
        }
        Ok(Ok(Promise { promises: Arc::clone(self), blobs }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Promised>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise {
    /// Notes what one of the blobs, by its place in the promise, still needs.
    pub(crate) fn set_left(&self, blob: usize, left_bytes: u64) {
        let Some(blob) = self.blobs.get(blob) else { return };
        if let Some(promised) = self.promises.lock().get_mut(blob) {
            promised.left_bytes = left_bytes;
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut promised = self.promises.lock();
        for blob in &self.blobs {
            if let Some(entry) = promised.get_mut(blob) {
                entry.fetches -= 1;
                if entry.fetches == 0 {
                    promised.remove(blob);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn wanted(blobs: &[(&str, u64)]) -> Vec<(PathBuf, u64)> {
        blobs.iter().map(|(blob, bytes)| (PathBuf::from(blob), *bytes)).collect()
    }

    /// A promise out of so many free bytes, or what others were promised of them.
    fn promise(promises: &Arc<Promises>, free: u64, blobs: &[(&str, u64)]) -> Result<Promise, u64> {
        let needed: u64 = blobs.iter().map(|(_, bytes)| bytes).sum();
        let missing = |others: u64| Ok::<_, Infallible>((needed + others > free).then_some(others));
        promises.promise(wanted(blobs), missing).unwrap()
    }

    #[test]
    fn what_others_still_write_is_not_promised_again() {
        let promises = Arc::default();
        let first = promise(&promises, 100, &[("a", 60)]).unwrap();
        assert_eq!(promise(&promises, 100, &[("b", 50)]).unwrap_err(), 60);
        // It has written 20 of them, which are no longer free.
        first.set_left(0, 40);
        assert_eq!(promise(&promises, 80, &[("b", 50)]).unwrap_err(), 40);
        let second = promise(&promises, 80, &[("b", 40)]).unwrap();
        drop(first);
        assert_eq!(promise(&promises, 80, &[("c", 50)]).unwrap_err(), 40);
        drop(second);
        assert!(promise(&promises, 80, &[("c", 80)]).is_ok());
    }

    #[test]
    fn a_blob_that_several_fetch_is_promised_once() {
        let promises = Arc::default();
        let first = promise(&promises, 100, &[("a", 60), ("b", 10)]).unwrap();
        let second = promise(&promises, 100, &[("b", 10), ("a", 60)]).unwrap();
        drop(first);
        second.set_left(1, 30);
        second.set_left(9, 0);
        assert_eq!(promise(&promises, 100, &[("c", 61)]).unwrap_err(), 40);
        assert!(promise(&promises, 100, &[("c", 60)]).is_ok());
    }
}
