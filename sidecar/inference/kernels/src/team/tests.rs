use std::sync::atomic::AtomicU64;

use super::*;

#[test]
fn every_task_is_done_once_whatever_the_number_of_threads() {
    for threads in [1, 2, 3, 8] {
        let team = Team::new(threads);
        assert_eq!(team.threads(), threads);
        let lanes = team.enter();
        for tasks in [0, 1, 2, 7, 1000] {
            let mut done = vec![0u8; tasks];
            lanes.for_each(done.iter_mut().collect(), |done| *done += 1);
            assert!(done.iter().all(|done| *done == 1), "{threads} threads, {tasks} tasks");
            let sum = AtomicU64::new(0);
            lanes.split(tasks, |range| {
                sum.fetch_add(range.map(|one| one as u64).sum::<u64>(), Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), (0..tasks as u64).sum::<u64>());
        }
    }
}

#[test]
fn scratch_belongs_to_one_thread_at_a_time() {
    let team = Team::new(4);
    let lanes = team.enter();
    let mut counts = vec![0u64; 4];
    lanes.for_each_with((0..10_000u64).collect(), &mut counts, |task, count| *count += task);
    assert_eq!(counts.iter().sum::<u64>(), (0..10_000).sum::<u64>());
}

#[test]
fn jobs_on_many_threads_share_a_team() {
    let team = Team::new(3);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let lanes = team.enter();
                for _ in 0..500 {
                    let mut numbers = vec![0u32; 64];
                    lanes.for_each(numbers.chunks_mut(8).enumerate().collect(), |(index, part)| {
                        part.fill(index as u32);
                    });
                    assert!(numbers.iter().enumerate().all(|(index, number)| *number == index as u32 / 8));
                }
            });
        }
    });
    assert_eq!(team.running.load(Ordering::Relaxed), 0);
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_lives_on() {
    let team = Team::new(2);
    let lanes = team.enter();
    for victim in 0..2 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            lanes.split(2, |range| assert_ne!(range.start, victim, "on purpose"));
        }));
        assert!(outcome.is_err());
    }
    let mut done = [false; 2];
    lanes.for_each(done.iter_mut().collect(), |done| *done = true);
    assert_eq!(done, [true; 2]);
}

#[test]
fn nobody_waits_for_a_worker_that_never_begins() {
    let team = Team::new(1);
    let lanes = team.enter();
    // No thread runs it.
    let worker = Worker::new();
    for round in 1..4 {
        assert!(worker.claim());
        let done = AtomicUsize::new(0);
        lanes.dispatch(vec![&worker], &|part| {
            assert_eq!(part, 0);
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 1, "round {round}");
    }
}

#[test]
fn what_is_taken_back_is_not_begun() {
    let team = Team::new(4);
    let lanes = team.enter();
    // Work of every length around what a worker takes to come, so that it often comes when it is being taken back.
    for round in 0..200_000u64 {
        let sum = AtomicU64::new(0);
        lanes.split(4, |range| {
            (0..round % 97).for_each(|_| std::hint::spin_loop());
            sum.fetch_add(range.map(|one| one as u64).sum::<u64>(), Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 6);
    }
}

#[test]
fn work_behind_jobs_has_the_threads_only_while_no_job_runs() {
    let team = Team::new(2);
    let done = AtomicU64::new(0);
    let others = AtomicU64::new(0);
    let caller = thread::current().id();
    let count = |_| {
        done.fetch_add(1, Ordering::Relaxed);
        others.fetch_add(u64::from(thread::current().id() != caller), Ordering::Relaxed);
        thread::sleep(std::time::Duration::from_micros(200));
    };
    let behind = team.enter_behind();
    behind.for_each((0..100).collect(), count);
    assert!(others.swap(0, Ordering::Relaxed) > 0, "nobody else needs the thread");
    let job = team.enter();
    assert_eq!(job.helpers(), 1, "the job does not share");
    behind.for_each((0..100).collect(), count);
    behind.split(100, |range| range.for_each(count));
    assert_eq!((done.load(Ordering::Relaxed), others.load(Ordering::Relaxed)), (300, 0));
    drop(job);
    others_leave_once_a_job_begins(&team, &behind);
}

/// Runs work on a team of two, in the middle of which a job begins: the other thread may have been about to take one
/// more piece, and takes no other.
fn others_leave_once_a_job_begins(team: &Team, work: &Lanes<'_>) {
    let caller = thread::current().id();
    let begun = std::sync::OnceLock::new();
    let late = AtomicU64::new(0);
    work.for_each((0..100).collect(), |task: usize| {
        let is_late = begun.get().is_some() && thread::current().id() != caller;
        late.fetch_add(u64::from(is_late), Ordering::Relaxed);
        if task == 50 {
            assert!(begun.set(team.enter()).is_ok());
        }
        thread::sleep(std::time::Duration::from_micros(200));
    });
    assert!(late.into_inner() <= 1);
    let job = begun.into_inner().unwrap();
    let mut done = [false; 4];
    job.for_each(done.iter_mut().collect(), |done| *done = true);
    assert_eq!(done, [true; 4]);
}

#[test]
fn a_job_that_begins_gets_its_share_from_one_that_runs() {
    let team = Team::new(2);
    let long = team.enter();
    others_leave_once_a_job_begins(&team, &long);
}

#[test]
fn work_behind_jobs_shares_the_threads_with_its_like() {
    let team = Team::new(4);
    let first = team.enter_behind();
    assert_eq!(first.helpers(), 3);
    let second = team.enter_behind();
    assert_eq!((first.helpers(), second.helpers()), (1, 1));
    let job = team.enter();
    assert_eq!((first.helpers(), second.helpers(), job.helpers()), (0, 0, 3));
    drop((job, second));
    assert_eq!(first.helpers(), 3);
}

#[test]
fn a_thread_that_stays_behind_begins_no_job() {
    let team = Team::new(2);
    let job = team.enter();
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_behind_jobs();
            assert_eq!(team.enter().helpers(), 0);
        });
    });
    assert_eq!((job.helpers(), team.enter().helpers()), (1, 0), "another thread begins jobs as before");
}

#[test]
fn a_thread_that_left_is_free_while_the_work_goes_on() {
    let team = Team::new(2);
    let behind = team.enter_behind();
    let caller = thread::current().id();
    let (job, is_free) = (std::sync::OnceLock::new(), AtomicU64::new(0));
    behind.for_each((0..200).collect(), |task: usize| {
        if task == 50 {
            assert!(job.set(team.enter()).is_ok());
        }
        if task > 100 && thread::current().id() == caller && team.workers[0].claim() {
            is_free.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(std::time::Duration::from_micros(200));
    });
    assert_eq!(is_free.into_inner(), 1, "the job may have it once, though the work is not over");
}
