//! What the user of the demo sees.

use std::io::{self, Write};
use std::process::Command;

use super::answer::Answer;
use super::{DemoError, ROOT};
use crate::command::{capture, describe, output};

/// What the user sees.
pub(super) struct Screen<W> {
    /// Where it is written.
    pub(super) out: W,
}

impl<W: Write> Screen<W> {
    /// Begins a part.
    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n=== {text}")
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Shows a command as it would be typed.
    pub(super) fn command(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n$ {}", text.replace(&format!("{ROOT}/"), ""))?;
        self.out.flush()
    }

    /// Shows what a command answered.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", text.trim_end())
    }

    /// Shows a command, runs it, and shows its answer.
    pub(super) fn run(&mut self, mut command: Command) -> Result<(), DemoError> {
        self.command(&describe(&command))?;
        let answer = capture(&mut command)?;
        Ok(self.text(&answer)?)
    }

    /// The same for a request.
    pub(super) fn curl(&mut self, arguments: &[&str]) -> Result<Answer, DemoError> {
        let arguments = [&["-sS", "-i"][..], arguments].concat();
        self.command(&describe(Command::new("curl").args(&arguments)))?;
        let answer = Answer { whole: output("curl", &arguments)? };
        self.text(&answer.shown())?;
        Ok(answer)
    }
}
