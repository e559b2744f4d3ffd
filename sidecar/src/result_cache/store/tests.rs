use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { max_entries: 3, max_bytes: 100, time_to_live: Duration::from_secs(10) };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A step of a table: what is done, and which keys are there afterwards.
enum Step {
    Put(u8, u64),
    /// With the outcome.
    Get(u8, bool),
}

/// What it shows, the steps with their second, and the keys and evictions in the end.
type Row = (&'static str, Vec<(u64, Step)>, Vec<u8>, Evictions);

fn keys(store: &Store<u8, u8>) -> Vec<u8> {
    let mut keys: Vec<u8> = store.entries.keys().copied().collect();
    keys.sort_unstable();
    keys
}

#[test]
fn what_goes_follows_the_table() {
    use Step::{Get, Put};
    let table: Vec<Row> = vec![
        ("all that fits stays", vec![(0, Put(1, 50)), (0, Put(2, 50))], vec![1, 2], Evictions::default()),
        (
            "the least recently put goes where there are too many",
            vec![(0, Put(1, 1)), (1, Put(2, 1)), (2, Put(3, 1)), (3, Put(4, 1))],
            vec![2, 3, 4],
            Evictions { space: 1, ..Evictions::default() },
        ),
        (
            "a use counts",
            vec![(0, Put(1, 1)), (1, Put(2, 1)), (2, Put(3, 1)), (3, Get(1, true)), (4, Put(4, 1))],
            vec![1, 3, 4],
            Evictions { space: 1, ..Evictions::default() },
        ),
        (
            "as many go as the bytes need",
            vec![(0, Put(1, 40)), (1, Put(2, 40)), (2, Put(3, 90))],
            vec![3],
            Evictions { space: 2, ..Evictions::default() },
        ),
        (
            "what is larger than all is not kept, and nobody goes for it",
            vec![(0, Put(1, 40)), (1, Put(2, 101))],
            vec![1],
            Evictions::default(),
        ),
        (
            "age counts from when a value was put in, whenever it was used",
            vec![(0, Put(1, 1)), (5, Put(2, 1)), (9, Get(1, true)), (10, Get(1, false))],
            vec![2],
            Evictions { age: 1, ..Evictions::default() },
        ),
        (
            "a value that is put in again is young again, and counts once",
            vec![(0, Put(1, 60)), (5, Put(1, 70)), (14, Get(1, true)), (15, Get(1, false))],
            vec![],
            Evictions { age: 1, ..Evictions::default() },
        ),
    ];
    for (name, steps, expected, evictions) in table {
        let mut store = Store::new(BOUNDS);
        for (second, step) in steps {
            match step {
                Put(key, bytes) => store.put(key, key, bytes, at(second)),
                Get(key, found) => assert_eq!(store.get(&key, at(second)).is_some(), found, "{name}"),
            }
        }
        assert_eq!((keys(&store), store.take_evictions()), (expected, evictions), "{name}");
        assert_eq!(store.take_evictions(), Evictions::default(), "{name}");
    }
}

#[test]
fn other_bounds_hold_at_once_and_what_is_not_to_stay_goes() {
    let mut store = Store::new(BOUNDS);
    for key in 1..=3 {
        store.put(key, key, 10, at(u64::from(key)));
    }
    store.rebound(Bounds { max_entries: 2, ..BOUNDS }, at(3));
    assert_eq!((keys(&store), store.bytes()), (vec![2, 3], 20));
    store.rebound(Bounds { time_to_live: at(1), ..BOUNDS }, at(3));
    assert_eq!(keys(&store), [3]);
    store.retain(|value| *value != 3);
    assert_eq!((store.len(), store.bytes()), (0, 0));
    assert_eq!(store.take_evictions(), Evictions { space: 1, age: 1, plan: 1 });
}

/// What the store must do, said in the plainest way: a list of (key, bytes, put at), the last used last.
#[derive(Default)]
struct Model(Vec<(u8, u64, Duration)>);

impl Model {
    fn expire(&mut self, now: Duration) {
        self.0.retain(|(_, _, put_at)| now - *put_at < BOUNDS.time_to_live);
    }

    fn put(&mut self, key: u8, bytes: u64, now: Duration) {
        self.expire(now);
        self.0.retain(|(other, ..)| *other != key);
        if bytes <= BOUNDS.max_bytes {
            self.0.push((key, bytes, now));
        }
        while self.0.len() > BOUNDS.max_entries || self.bytes() > BOUNDS.max_bytes {
            self.0.remove(0);
        }
    }

    fn get(&mut self, key: u8, now: Duration) -> bool {
        self.expire(now);
        let Some(place) = self.0.iter().position(|(other, ..)| *other == key) else { return false };
        let entry = self.0.remove(place);
        self.0.push(entry);
        true
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes, _)| bytes).sum()
    }
}

proptest! {
    #[test]
    fn it_does_what_the_plain_list_does(steps in vec((any::<bool>(), 0_u8..6, 0_u64..120, 0_u64..4), 0..60)) {
        let (mut store, mut model, mut now) = (Store::new(BOUNDS), Model::default(), Duration::ZERO);
        for (is_put, key, bytes, seconds) in steps {
            now += at(seconds);
            if is_put {
                store.put(key, key, bytes, now);
                model.put(key, bytes, now);
            } else {
                prop_assert_eq!(store.get(&key, now).copied(), model.get(key, now).then_some(key));
            }
            let mut expected: Vec<u8> = model.0.iter().map(|(key, ..)| *key).collect();
            expected.sort_unstable();
            prop_assert_eq!(keys(&store), expected);
            prop_assert_eq!(store.bytes(), model.bytes());
            prop_assert!(store.len() <= BOUNDS.max_entries && store.bytes() <= BOUNDS.max_bytes);
            prop_assert_eq!((store.by_use.len(), store.by_age.len()), (store.len(), store.len()));
        }
    }
}
