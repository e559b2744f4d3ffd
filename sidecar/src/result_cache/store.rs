//! Values that are kept up to a number, an amount of bytes and an age; the least recently used go first. Pure: `now` is
//! given, as the time since some beginning.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The most values.
    pub(super) max_entries: usize,
    /// The most bytes that they take together.
    pub(super) max_bytes: u64,
    /// How long a value is kept after it was put in.
    pub(super) time_to_live: Duration,
}

/// How many values have gone, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evictions {
    /// For others, because there were too many, or they took too much.
    pub space: u64,
    /// Because of their age.
    pub age: u64,
    /// Because the plan no longer has what made them.
    pub plan: u64,
}

/// The values.
#[derive(Debug)]
pub(super) struct Store<K, V> {
    bounds: Bounds,
    entries: HashMap<K, Entry<V>>,
    /// Every key by when it was last used: the first goes first.
    by_use: BTreeMap<u64, K>,
    /// Every key by when it was put in: the first is the oldest.
    by_age: BTreeMap<u64, K>,
    bytes: u64,
    /// Counts uses, so that no two have the same number.
    next: u64,
    evictions: Evictions,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: u64,
    put_at: Duration,
    /// Its number in [`Store::by_use`].
    use_number: u64,
    /// Its number in [`Store::by_age`].
    age_number: u64,
}

impl<K: Hash + Eq + Copy, V> Store<K, V> {
    /// Nothing is kept yet.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            by_age: BTreeMap::new(),
            bytes: 0,
            next: 0,
            evictions: Evictions::default(),
        }
    }

    /// Keeps to other bounds from now on.
    pub(super) fn rebound(&mut self, bounds: Bounds, now: Duration) {
        self.bounds = bounds;
        self.expire(now);
        self.shrink();
    }

    /// The value of a key, which counts as a use of it.
    pub(super) fn get(&mut self, key: &K, now: Duration) -> Option<&V> {
        self.expire(now);
        let number = self.number();
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&std::mem::replace(&mut entry.use_number, number));
        self.by_use.insert(number, *key);
        Some(&entry.value)
    }

    /// Keeps a value of so many bytes in place of the key's last one, where a value of that size is kept at all.
    pub(super) fn put(&mut self, key: K, value: V, bytes: u64, now: Duration) {
        self.expire(now);
        self.remove(&key);
        if bytes > self.bounds.max_bytes {
            return;
        }
        let (use_number, age_number) = (self.number(), self.number());
        self.entries.insert(key, Entry { value, bytes, put_at: now, use_number, age_number });
        self.by_use.insert(use_number, key);
        self.by_age.insert(age_number, key);
        self.bytes = self.bytes.saturating_add(bytes);
        self.shrink();
    }

    /// Drops every value that is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&V) -> bool) {
        let leaving = self.entries.iter().filter(|(_, entry)| !stays(&entry.value));
        let leaving: Vec<K> = leaving.map(|(key, _)| *key).collect();
        self.evictions.plan += leaving.len() as u64;
        leaving.iter().for_each(|key| self.remove(key));
    }

    /// Drops what is too old. Whoever puts in or gets does it too.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some((_, key)) = self.by_age.first_key_value() {
            let key = *key;
            let put_at = self.entries.get(&key).map_or(Duration::ZERO, |entry| entry.put_at);
            if now.saturating_sub(put_at) < self.bounds.time_to_live {
                break;
            }
            self.remove(&key);
            self.evictions.age += 1;
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes that they take together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many have gone since this was asked last.
    pub(super) fn take_evictions(&mut self) -> Evictions {
        std::mem::take(&mut self.evictions)
    }

    /// Drops the least recently used until the bounds hold.
    fn shrink(&mut self) {
        while self.entries.len() > self.bounds.max_entries || self.bytes > self.bounds.max_bytes {
            let Some((_, key)) = self.by_use.first_key_value() else { return };
            let key = *key;
            self.remove(&key);
            self.evictions.space += 1;
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.use_number);
            self.by_age.remove(&entry.age_number);
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests;
