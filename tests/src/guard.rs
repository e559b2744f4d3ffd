//! Processes that cannot outlive the test.
//!
//! A static is never dropped, and a test may be killed. So a shell stands between: it reads from a pipe whose other
//! end only this process holds. However this process ends, the pipe closes, and the shell kills what it started and
//! removes the folder.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt as _;

/// Starts a program, says its number, waits for the pipe to close, kills the program and removes the folder.
const SCRIPT: &str = r#"
log=$1 folder=$2; shift 2
"$@" > "$log" 2>&1 < /dev/null &
child=$!
echo "$child"
trap '' INT TERM HUP
read -r _
kill -KILL "$child"
wait "$child"
if [ -n "$folder" ]; then rm -rf "$folder"; fi
"#;

/// A program that runs until this value is dropped or this process ends.
#[derive(Debug)]
pub struct Guarded {
    shell: Child,
    process_id: u32,
}

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
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("sh must be installed");
        let mut line = String::new();
        let output = shell.stdout.take().expect("the output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("the pipe can be read");
        let process_id = line.trim().parse().expect("the shell says the number of what it started");
        Self { shell, process_id }
    }

    /// The number that the system knows the program by.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process_id
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
