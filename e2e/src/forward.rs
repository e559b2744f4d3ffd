//! A tunnel from this machine to a Service or pod, as `kubectl port-forward` makes it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::access::Access;
use crate::command::{CommandError, describe};

/// An open tunnel. Dropping it closes it.
#[derive(Debug)]
pub struct Forward {
    child: Child,
    /// The port on loopback.
    pub port: u16,
}

impl Forward {
    /// Opens a tunnel to a port of `target`, such as `service/video-translation`, on a free port of loopback.
    ///
    /// # Errors
    /// [`CommandError`] when `kubectl` cannot be started or does not get through.
    pub fn open(access: &Access, namespace: &str, target: &str, port: u16) -> Result<Self, CommandError> {
        let ports = format!(":{port}");
        let mut command = access.kubectl_command(&["port-forward", "--namespace", namespace, target, &ports]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| CommandError::Start { program: "kubectl".to_owned(), source })?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            // Nothing at all means that it has ended, which the exit status tells below.
            let _ = stdout.read_line(&mut line);
            // It says a line for each connection, and would stop when nobody read them.
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        }
        if let Some(port) = parse(&line) {
            return Ok(Self { child, port });
        }
        let _ = child.kill();
        let output = child
            .wait_with_output()
            .map_err(|source| CommandError::Start { program: "kubectl".to_owned(), source })?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(CommandError::Failed { command: describe(&command), status: output.status, stderr })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the local port out of `Forwarding from 127.0.0.1:40123 -> 8470`.
fn parse(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from 127.0.0.1:")?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_port_is_read() {
        assert_eq!(parse("Forwarding from 127.0.0.1:40123 -> 8470\n"), Some(40123));
        assert_eq!(parse("error: unable to forward"), None);
    }
}
