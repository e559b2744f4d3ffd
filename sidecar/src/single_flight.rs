//! One computation for all that ask for the same at the same time.
//!
//! A computation belongs to everybody who waits for it: any of them drives it on, and it is dropped with the last. So
//! whoever began it may go away, and the others do not begin anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

/// The computations under way, by what they compute.
pub struct SingleFlight<K, T: Clone>(Arc<Mutex<Flights<K, T>>>);

/// A computation under way.
pub type Flight<T> = Shared<BoxFuture<'static, T>>;

/// What a request found.
pub enum Entered<V, T: Clone> {
    /// There is a value already.
    Found(V),
    /// The computation was begun for this request.
    Leads(Flight<T>),
    /// It was begun for another one.
    Follows(Flight<T>),
}

struct Flights<K, T: Clone> {
    under_way: HashMap<K, (u64, WeakShared<BoxFuture<'static, T>>)>,
    next: u64,
}

impl<K, T: Clone> Clone for SingleFlight<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Flights { under_way: HashMap::new(), next: 0 })))
    }
}

impl<K: Hash + Eq + Clone + Send + 'static, T: Clone + Send + Sync + 'static> SingleFlight<K, T> {
    /// What `find` finds, else the computation of `key`, which `begin` begins if there is none under way.
    ///
    /// A computation that ends leaves what it found where `find` finds it, before it counts as ended here; so nobody
    /// comes too late for the one and too early for the other.
    pub fn enter<V>(
        &self,
        key: K,
        find: impl FnOnce() -> Option<V>,
        begin: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Entered<V, T> {
        let mut flights = lock(&self.0);
        if let Some(found) = find() {
            return Entered::Found(found);
        }
        if let Some(flight) = flights.under_way.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return Entered::Follows(flight);
        }
        flights.next += 1;
        let number = flights.next;
        let ending = Ending { flights: Arc::clone(&self.0), key: key.clone(), number };
        let work = begin();
        let flight = async move {
            let _ending = ending;
            work.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            flights.under_way.insert(key, (number, weak));
        }
        Entered::Leads(flight)
    }
}

/// Takes a computation off the list when it has ended or was dropped.
struct Ending<K: Hash + Eq, T: Clone> {
    flights: Arc<Mutex<Flights<K, T>>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq, T: Clone> Drop for Ending<K, T> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        // Another one may have begun since this one was given up.
        if flights.under_way.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            flights.under_way.remove(&self.key);
        }
    }
}

fn lock<K, T: Clone>(flights: &Mutex<Flights<K, T>>) -> MutexGuard<'_, Flights<K, T>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    type Flights = SingleFlight<&'static str, u32>;

    fn none() -> Option<u32> {
        None
    }

    /// Counts how many live, so that a computation that was dropped is seen.
    struct Alive(Arc<AtomicUsize>);

    impl Alive {
        fn count(counter: &Arc<AtomicUsize>) -> Self {
            counter.fetch_add(1, Ordering::SeqCst);
            Self(Arc::clone(counter))
        }
    }

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn led(flights: &Flights, work: BoxFuture<'static, u32>) -> Flight<u32> {
        match flights.enter("key", none, || work) {
            Entered::Leads(flight) => flight,
            Entered::Found(_) | Entered::Follows(_) => panic!("it should have begun"),
        }
    }

    fn followed(flights: &Flights) -> Flight<u32> {
        match flights.enter("key", none, || panic!("it was begun twice")) {
            Entered::Follows(flight) => flight,
            Entered::Found(_) | Entered::Leads(_) => panic!("it should have followed"),
        }
    }

    #[tokio::test]
    async fn equal_requests_share_one_computation_and_later_ones_begin_another() {
        let flights = Flights::default();
        let (tell, told) = oneshot::channel();
        let first = tokio::spawn(led(&flights, async { told.await.unwrap() }.boxed()));
        let others: Vec<_> = (0..20).map(|_| tokio::spawn(followed(&flights))).collect();
        tokio::task::yield_now().await;
        assert!(matches!(flights.enter("other", none, || async { 2 }.boxed()), Entered::Leads(_)));
        tell.send(1).unwrap();
        assert_eq!(first.await.unwrap(), 1);
        for other in others {
            assert_eq!(other.await.unwrap(), 1);
        }
        assert_eq!(led(&flights, async { 3 }.boxed()).await, 3);
        assert!(lock(&flights.0).under_way.is_empty());
        assert!(matches!(flights.enter("key", || Some(4), || panic!("there is a value")), Entered::Found(4)));
    }

    #[tokio::test]
    async fn it_goes_on_while_one_waits_and_stops_with_the_last() {
        let (flights, alive) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let work = |told: oneshot::Receiver<u32>| {
            let held = Alive::count(&alive);
            async move {
                let _held = held;
                told.await.unwrap_or_default()
            }
            .boxed()
        };
        let (tell, told) = oneshot::channel();
        let leader = tokio::spawn(led(&flights, work(told)));
        let follower = tokio::spawn(followed(&flights));
        tokio::task::yield_now().await;
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
        assert_eq!(alive.load(Ordering::SeqCst), 1, "somebody waits yet");
        tell.send(7).unwrap();
        assert_eq!(follower.await.unwrap(), 7);

        let (_tell, told) = oneshot::channel();
        let waiting = [tokio::spawn(led(&flights, work(told))), tokio::spawn(followed(&flights))];
        tokio::task::yield_now().await;
        for waiter in waiting {
            waiter.abort();
            assert!(waiter.await.is_err());
        }
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert_eq!(led(&flights, async { 8 }.boxed()).await, 8, "nobody follows what was given up");
    }
}
