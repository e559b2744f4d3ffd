//! Processes that cannot outlive the test.
//!
//! A static is never dropped, and a test may be killed. So a shell stands between: it reads from a pipe whose other
//! end only this process holds. However this process ends, the pipe closes, and the shell kills what it started and
//! removes the folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt as _;

/// Starts a program, waits for the pipe to close, kills the program and removes the folder.
const SCRIPT: &str = r#"
log=$1 folder=$2; shift 2
"$@" > "$log" 2>&1 < /dev/null &
child=$!
trap '' INT TERM HUP
read -r _
kill -KILL "$child"
wait "$child"
if [ -n "$folder" ]; then rm -rf "$folder"; fi
"#;

/// A program that runs until this value is dropped or this process ends.
#[derive(Debug)]
pub struct Guarded(Child);

impl Guarded {
    /// Starts `program` with its output in `log`. `folder`, where given, is removed after the program's end.
    ///
    /// # Panics
    /// When no shell can be started.
    #[must_use]
    pub fn start(program: &Path, arguments: &[String], log: &Path, folder: Option<&Path>) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SCRIPT, "guard"])
            .arg(log)
            .arg(folder.unwrap_or(Path::new("")))
            .arg(program)
            .args(arguments);
        // A group of its own: an interrupt typed at the terminal reaches the test, and through the pipe the shell.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("sh must be installed"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
