//! What the system says of itself and of a process.

use std::fs;
use std::io;

/// The processor's name and the number of its processors that this program may use.
#[must_use]
pub fn description() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("an unknown processor", |(_, name)| name.trim());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{name}, {processors} processors")
}

/// Runnable processes in the mean of the last one, five and fifteen minutes.
#[must_use]
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The memory of a process, in megabytes of a million bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: f64,
    /// The most that ever was.
    pub peak: f64,
}

/// The resident memory of a process.
///
/// # Errors
/// Where it has ended.
pub fn memory(process_id: u32) -> io::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{process_id}/status"))
        .map_err(|error| io::Error::other(format!("process {process_id} has ended: {error}")))?;
    parse(&text).ok_or_else(|| io::Error::other(format!("process {process_id} has ended")))
}

/// `/proc/PID/status` writes kB and means 1024 bytes.
fn parse(status: &str) -> Option<Memory> {
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: f64 = line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024.0 / 1e6)
    };
    Some(Memory { resident: megabytes("VmRSS")?, peak: megabytes("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_millions_of_bytes() {
        let memory = parse("Name:\tit\nVmHWM:\t  250000 kB\nVmRSS:\t  125000 kB\n").unwrap();
        assert_eq!((memory.resident, memory.peak), (128.0, 256.0));
        assert!(parse("Name:\ta process that has ended\nState:\tZ (zombie)\n").is_none());
    }
}
