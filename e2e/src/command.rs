//! Runs programs and turns their failures into errors that quote them.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Why a program gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error(
        "{program} could not be started: is it installed? scripts/prerequisites.sh installs what is needed"
    )]
    Start {
        /// The program.
        program: String,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it wrote to its error output.
        stderr: String,
    },
}

/// Runs a program to its end and answers its standard output.
///
/// # Errors
/// [`CommandError::Start`] when it cannot be started, [`CommandError::Failed`] with the end of its error output.
pub fn output<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> Result<String, CommandError> {
    capture(Command::new(program.as_ref()).args(arguments))
}

/// Like [`output`] for a command that has been prepared with an environment or a working folder.
///
/// # Errors
/// As [`output`].
pub fn capture(command: &mut Command) -> Result<String, CommandError> {
    let result = command.stdin(Stdio::null()).output().map_err(|source| start_error(command, source))?;
    judge(command, &result)
}

/// Like [`capture`] for a program that reads a text from its standard input.
///
/// # Errors
/// As [`output`].
pub fn feed(command: &mut Command, input: &str) -> Result<String, CommandError> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = || -> std::io::Result<Output> {
        let mut child = piped.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading says why on its error output; that is the better answer.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    };
    let result = run().map_err(|source| start_error(command, source))?;
    judge(command, &result)
}

fn judge(command: &Command, result: &Output) -> Result<String, CommandError> {
    if result.status.success() {
        return Ok(String::from_utf8_lossy(&result.stdout).into_owned());
    }
    Err(CommandError::Failed {
        command: describe(command),
        status: result.status,
        stderr: tail(String::from_utf8_lossy(&result.stderr).trim(), 2000).to_owned(),
    })
}

/// Runs a program whose output the user sees.
///
/// # Errors
/// As [`output`]; the error output has already been shown and is not repeated.
pub fn show(command: &mut Command) -> Result<(), CommandError> {
    let status = command.stdin(Stdio::null()).status().map_err(|source| start_error(command, source))?;
    if status.success() {
        return Ok(());
    }
    Err(CommandError::Failed { command: describe(command), status, stderr: "see above".to_owned() })
}

/// A command as a person would type it, its program without the folder.
#[must_use]
pub fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The last `bytes` of a text, cut at a character.
pub(crate) fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

fn start_error(command: &Command, source: std::io::Error) -> CommandError {
    CommandError::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_it_would_be_typed() {
        let mut command = Command::new("/opt/bin/kubectl");
        command.args(["patch", "node", "a", "--patch", r#"{"a": "it's"}"#, ""]);
        assert_eq!(describe(&command), r#"kubectl patch node a --patch '{"a": "it'\''s"}' ''"#);
    }

    #[test]
    fn a_failure_quotes_the_error_output() {
        let error = output("sh", &["-c", "echo 'no such thing' >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("no such thing") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_program_is_fed_its_input() {
        assert_eq!(feed(&mut Command::new("cat"), "hay").unwrap(), "hay");
        let error = feed(Command::new("sh").args(["-c", "echo full >&2; exit 1"]), "hay").unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output("ostler-no-such-program", &["x"]).unwrap_err().to_string();
        assert!(error.contains("ostler-no-such-program"), "{error}");
    }

    #[test]
    fn a_tail_never_cuts_a_character() {
        assert_eq!(tail("größer", 5), "ßer");
        assert_eq!(tail("größer", 4), "ßer");
        assert_eq!(tail("größer", 3), "er");
        assert_eq!(tail("x", 9), "x");
    }
}
