//! Programs that go on running after the one that started them has ended, found again by number and start time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A running program. The start time keeps a reused number from being mistaken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pid: i32,
    /// Clock ticks after boot: field 22 of `/proc/PID/stat`.
    started: u64,
}

/// Starts a program in a session of its own, so that the end of the caller's terminal does not end it; its output
/// goes to `log`.
pub(super) fn start(
    program: &Path,
    arguments: &[String],
    folder: &Path,
    search_path: &str,
    log: &Path,
) -> io::Result<Process> {
    let log = File::options().create(true).append(true).open(log)?;
    let errors = log.try_clone()?;
    let child = Command::new("setsid")
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .env("PATH", search_path)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let started = stat(pid).map(|stat| stat.started).unwrap_or_default();
    // A caller that lives on, as a test does, must collect the program when it ends; one thread waits for each.
    std::thread::spawn(move || {
        let mut child = child;
        let _ = child.wait();
    });
    Ok(Process { pid, started })
}

impl Process {
    /// Whether it still runs.
    pub(super) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Asks it to end, and ends it by force when it has not after `patience`.
    pub(super) fn end(self, patience: Duration) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while self.is_alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal(Signal::KILL);
        while self.is_alive() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(self, signal: Signal) {
        if self.is_alive() {
            kill(self.pid, signal);
        }
    }
}

/// Sends a signal to whatever has this number.
pub(super) fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // The process may have ended meanwhile, which is what was wanted.
        let _ = kill_process(pid, signal);
    }
}

struct Stat {
    state: char,
    started: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/PID/stat`: the program's name in parentheses may hold spaces and parentheses itself, so the fields
/// are counted from the last one on.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    Some(Stat { state: fields.first()?.chars().next()?, started: fields.get(19)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let text = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.started), ('S', 777));
        assert!(parse_stat("nonsense").is_none());
    }

    #[test]
    fn a_started_program_is_alive_until_it_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["100".to_owned()];
        let log = folder.path().join("log");
        let process = start(Path::new("sleep"), &arguments, folder.path(), "/usr/bin:/bin", &log).unwrap();
        assert!(process.is_alive());
        assert!(
            !Process { started: process.started + 1, ..process }.is_alive(),
            "a reused number is another one"
        );
        process.end(Duration::from_secs(2));
        assert!(!process.is_alive());
    }
}
