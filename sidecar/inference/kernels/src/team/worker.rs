//! A thread of a team, and what it is given to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};

/// How often a thread looks for work before it sleeps; about a tenth of a millisecond.
const SPINS: usize = 4000;

/// A thread that waits for work.
pub(super) struct Worker {
    /// What to do, or null.
    work: AtomicPtr<Dispatch<'static>>,
    /// Whether a caller has it.
    is_taken: AtomicBool,
    is_asleep: AtomicBool,
    must_end: AtomicBool,
    /// Whether to look for more work before sleeping.
    may_spin: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

/// A piece of work that several threads do a part of. It lies on the stack of the caller, who waits for all.
pub(super) struct Dispatch<'a> {
    part: &'a (dyn Fn(usize) + Sync),
    /// Workers that are not done.
    remaining: AtomicUsize,
    next_part: AtomicUsize,
    has_panicked: AtomicBool,
    caller: Thread,
}

impl<'a> Dispatch<'a> {
    /// Parts from 1 on for so many workers.
    pub(super) fn new(part: &'a (dyn Fn(usize) + Sync), workers: usize) -> Self {
        Self {
            part,
            remaining: AtomicUsize::new(workers),
            next_part: AtomicUsize::new(1),
            has_panicked: AtomicBool::new(false),
            caller: thread::current(),
        }
    }

    pub(super) fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Relaxed)
    }

    /// Returns when no worker uses this any more.
    pub(super) fn wait(&self, may_spin: bool) {
        for _ in 0..if may_spin { SPINS } else { 0 } {
            if self.remaining.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        while self.remaining.load(Ordering::Acquire) != 0 {
            thread::park();
        }
    }

    /// Does one part on the thread of `worker`, which others may have from then on: the caller may be at its own part
    /// for long. Afterwards the dispatch may be gone.
    fn work(&self, worker: &Worker) {
        let part = self.next_part.fetch_add(1, Ordering::Relaxed);
        if catch_unwind(AssertUnwindSafe(|| (self.part)(part))).is_err() {
            self.has_panicked.store(true, Ordering::Relaxed);
        }
        let caller = self.caller.clone();
        // The caller finds it free as soon as it sees that the part is done.
        worker.release();
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            caller.unpark();
        }
    }
}

impl Worker {
    pub(super) fn new() -> Self {
        Self {
            work: AtomicPtr::new(ptr::null_mut()),
            is_taken: AtomicBool::new(false),
            is_asleep: AtomicBool::new(false),
            must_end: AtomicBool::new(false),
            may_spin: AtomicBool::new(false),
            thread: Mutex::new(None),
        }
    }

    /// Takes the worker for one piece of work, unless somebody has it. It is free again once it has done that, or it was
    /// taken back.
    pub(super) fn claim(&self) -> bool {
        !self.is_taken.swap(true, Ordering::Acquire)
    }

    fn release(&self) {
        self.is_taken.store(false, Ordering::Release);
    }

    pub(super) fn is_run_by(&self, thread: Thread) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    /// Ends the thread once it has no work.
    pub(super) fn end(&self) {
        self.must_end.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Gives work to a worker that was claimed, which may still be about to leave the work before; afterwards it may
    /// spin, or sleeps at once.
    pub(super) fn give(&self, dispatch: &Dispatch<'_>, may_spin: bool) {
        self.may_spin.store(may_spin, Ordering::Relaxed);
        self.work.store(ptr::from_ref(dispatch).cast_mut().cast(), Ordering::SeqCst);
        if self.is_asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Takes back what was given, unless the worker has begun with it, and leaves the worker to others.
    pub(super) fn take_back(&self, dispatch: &Dispatch<'_>) {
        let given = ptr::from_ref(dispatch).cast_mut().cast();
        let taken =
            self.work.compare_exchange(given, ptr::null_mut(), Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if taken {
            dispatch.remaining.fetch_sub(1, Ordering::AcqRel);
            self.release();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }

    /// The life of a worker's thread.
    pub(super) fn serve(&self) {
        while let Some(dispatch) = self.next() {
            // SAFETY: whoever gave it waits in `Dispatch::wait` until `remaining` is 0, which `work` does last.
            unsafe { &*dispatch }.work(self);
        }
    }

    /// The next work, or nothing where the team has ended.
    fn next(&self) -> Option<*const Dispatch<'static>> {
        for _ in 0..if self.may_spin.load(Ordering::Relaxed) { SPINS } else { 0 } {
            if let Some(work) = self.take() {
                return Some(work);
            }
            std::hint::spin_loop();
        }
        self.is_asleep.store(true, Ordering::SeqCst);
        let work = loop {
            if let Some(work) = self.take() {
                break Some(work);
            }
            if self.must_end.load(Ordering::SeqCst) {
                break None;
            }
            thread::park();
        };
        self.is_asleep.store(false, Ordering::SeqCst);
        work
    }

    fn take(&self) -> Option<*const Dispatch<'static>> {
        // The load alone keeps the cache line shared while there is nothing.
        if self.work.load(Ordering::SeqCst).is_null() {
            return None;
        }
        // It may have been taken back since.
        let work = self.work.swap(ptr::null_mut(), Ordering::SeqCst).cast_const();
        (!work.is_null()).then_some(work)
    }
}
