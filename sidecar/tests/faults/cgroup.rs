//! A cgroup with a limit of memory, of either version, for a program to start in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A cgroup; it is removed when this is dropped, after whatever ran in it has ended.
pub(crate) struct Cgroup {
    folder: PathBuf,
    /// The file of its limit.
    limit: &'static str,
    /// The file that counts processes that were killed in it, as `oom_kill N`.
    events: &'static str,
}

impl Cgroup {
    /// Makes a cgroup whose processes may take so many bytes together.
    ///
    /// # Errors
    /// What the system said, where it lets nobody make one.
    pub(crate) fn new(limit_bytes: u64) -> Result<Self, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ostler-faults-{}-{number}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let second = Path::new("/sys/fs/cgroup");
        if first.join("memory.limit_in_bytes").exists() || first.join("tasks").exists() {
            let cgroup = Self::make(first.join(name), "memory.limit_in_bytes", "memory.oom_control")?;
            cgroup.limit(limit_bytes)?;
            return Ok(cgroup);
        }
        // The root hands its controllers down only where it is told to.
        let handed_down = fs::write(second.join("cgroup.subtree_control"), "+memory");
        handed_down.map_err(|error| format!("cgroup.subtree_control: {error}"))?;
        let cgroup = Self::make(second.join(name), "memory.max", "memory.events")?;
        cgroup.limit(limit_bytes)?;
        // A machine without swap has no such file.
        let _ = cgroup.write("memory.swap.max", 0);
        Ok(cgroup)
    }

    fn make(folder: PathBuf, limit: &'static str, events: &'static str) -> Result<Self, String> {
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { folder, limit, events })
    }

    /// Lets its processes take so many bytes together from now on.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn limit(&self, bytes: u64) -> Result<(), String> {
        self.write(self.limit, bytes)
    }

    fn write(&self, file: &str, number: u64) -> Result<(), String> {
        fs::write(self.folder.join(file), number.to_string()).map_err(|error| format!("{file}: {error}"))
    }

    /// A program that starts inside: it must see its limit from its first moment on.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg("echo $$ > \"$0\" && exec \"$@\"")
            .arg(self.folder.join("cgroup.procs"))
            .arg(program);
        shell
    }

    /// How many of its processes the kernel has ended for want of memory.
    pub(crate) fn kills(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.events)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel takes a moment to let go of a process that has ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
