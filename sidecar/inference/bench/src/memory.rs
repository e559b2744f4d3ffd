//! The anonymous memory of a process, watched from outside, the same way for everybody.
//!
//! Files that are mapped are left out: their pages are the page cache's, which the system takes back at will.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the watch looks.
const PERIOD: Duration = Duration::from_millis(1);

/// The anonymous bytes in the text of a process's `/proc/PID/status`.
#[must_use]
pub fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The anonymous bytes of a process; 0 where it is gone.
#[must_use]
pub fn anonymous(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    parse(&status).unwrap_or(0)
}

/// Watches a process until it is asked for the most that it saw.
pub struct Watch {
    must_end: Arc<AtomicBool>,
    most: Arc<Mutex<u64>>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts to watch.
    #[must_use]
    pub fn start(process: u32) -> Self {
        let (must_end, most) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let thread = {
            let (must_end, most) = (Arc::clone(&must_end), Arc::clone(&most));
            thread::spawn(move || {
                while !must_end.load(Ordering::Relaxed) {
                    let now = anonymous(process);
                    let mut most = most.lock().unwrap_or_else(PoisonError::into_inner);
                    *most = now.max(*most);
                    drop(most);
                    thread::sleep(PERIOD);
                }
            })
        };
        Self { must_end, most, thread }
    }

    /// The most bytes that were seen.
    #[must_use]
    pub fn most(self) -> u64 {
        self.must_end.store(true, Ordering::Relaxed);
        // The watching thread cannot panic, and there is nothing else to learn from it.
        let _ = self.thread.join();
        *self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_bytes_are_read_from_the_status() {
        assert_eq!(parse("Name:\tx\nRssAnon:\t    2048 kB\nRssFile:\t 4 kB\n"), Some(2048 * 1024));
        assert_eq!(parse("Name:\tx\n"), None);
    }

    #[test]
    fn a_watch_sees_what_this_process_holds() {
        let watch = Watch::start(std::process::id());
        let held = vec![1u8; 64 << 20];
        thread::sleep(Duration::from_millis(50));
        assert!(watch.most() >= held.len() as u64);
    }
}
