//! How much processor time work behind requests asks for, against that of requests.

/// Nice values run from 0, as everything starts, to 19. Each step is worth about a quarter more or less of the
/// processor where it is contended (sched(7)): at 10 a thread gets a tenth of what a thread at work on a request gets.
const BEHIND_REQUESTS: i32 = 10;

/// For work that nobody waits for.
const LOWEST: i32 = 19;

/// From here on this thread gets what requests leave. It must be a thread of its own: none can go back without
/// privileges.
pub fn work_behind_requests() {
    lower(BEHIND_REQUESTS);
}

/// From here on this thread gets what everybody else leaves.
pub(crate) fn work_behind_everybody() {
    lower(LOWEST);
}

fn lower(priority: i32) {
    // Linux keeps it for each thread. Where it is refused, the work is as slow, only less polite.
    let _ = rustix::process::setpriority_process(None, priority);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asks_is_lowered() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let of_thread = std::thread::spawn(move || {
            work_behind_requests();
            priority()
        });
        assert_eq!(of_thread.join().unwrap(), before.max(BEHIND_REQUESTS));
        assert_eq!(priority(), before);
    }
}
