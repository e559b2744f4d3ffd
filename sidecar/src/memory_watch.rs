//! What the process really takes and what is really left for it, read from `/proc` and the cgroup's files. Beside
//! `plan`, `model_loader` and the loader's crates this is the only place of the sidecar that reads the system.

mod parse;

use std::path::{Path, PathBuf};

use crate::residency::RealMemory;
use parse::{Cgroup, CgroupVersion};

/// Reads the memory of this process and of whatever bounds it: its cgroup, those above it, and the machine.
#[derive(Debug, Clone)]
pub struct MemoryWatch {
    /// The folder that stands for `/`.
    root: PathBuf,
    cgroups: Vec<Cgroup>,
}

/// What is left under one bound.
#[derive(Debug, Clone, Copy)]
struct Level {
    limit_bytes: u64,
    free_bytes: u64,
}

impl MemoryWatch {
    /// Finds the cgroups of this process. A system without them is bounded by the machine alone.
    #[must_use]
    pub fn new() -> Self {
        Self::under(Path::new("/"))
    }

    fn under(root: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let cgroups = parse::cgroups(&read("proc/self/cgroup"), &read("proc/self/mountinfo"));
        Self { root: root.to_owned(), cgroups }
    }

    /// What is there now; `None` on a system that does not say. It reads files, some of which the kernel computes: call
    /// it on a blocking thread.
    #[must_use]
    pub fn measure(&self) -> Option<RealMemory> {
        let process_bytes = parse::kibibytes(&self.read("proc/self/status")?, "VmRSS")?;
        let levels = self.cgroups.iter().filter_map(|cgroup| self.level(cgroup)).chain(self.machine());
        let tightest = levels.min_by_key(|level| level.free_bytes)?;
        let stalled = self.cgroups.first().and_then(|own| self.file(own, "memory.pressure"));
        Some(RealMemory {
            process_bytes,
            free_bytes: tightest.free_bytes,
            limit_bytes: tightest.limit_bytes,
            stalled_percent: stalled.and_then(|text| parse::stalled_percent(&text)).unwrap_or_default(),
        })
    }

    fn level(&self, cgroup: &Cgroup) -> Option<Level> {
        let (limit, usage) = match cgroup.version {
            CgroupVersion::V2 => ("memory.max", "memory.current"),
            CgroupVersion::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        };
        let limit_bytes = parse::limit(&self.file(cgroup, limit)?)?;
        let usage: u64 = self.file(cgroup, usage)?.trim().parse().ok()?;
        let stat = self.file(cgroup, "memory.stat").unwrap_or_default();
        let used = usage.saturating_sub(parse::reclaimable(&stat, cgroup.version));
        Some(Level { limit_bytes, free_bytes: limit_bytes.saturating_sub(used) })
    }

    fn machine(&self) -> Option<Level> {
        let text = self.read("proc/meminfo")?;
        let limit_bytes = parse::kibibytes(&text, "MemTotal")?;
        Some(Level { limit_bytes, free_bytes: parse::kibibytes(&text, "MemAvailable")? })
    }

    fn file(&self, cgroup: &Cgroup, name: &str) -> Option<String> {
        let folder = cgroup.folder.strip_prefix("/").unwrap_or(&cgroup.folder);
        std::fs::read_to_string(self.root.join(folder).join(name)).ok()
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }
}

impl Default for MemoryWatch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: [(&str, &str); 2] = [
        ("proc/self/status", "VmRSS:\t 100 kB\n"),
        ("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable: 4000 kB\n"),
    ];

    fn measured(files: &[(&str, &str)]) -> Option<RealMemory> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in MACHINE.iter().chain(files) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        MemoryWatch::under(root.path()).measure()
    }

    #[test]
    fn without_a_limit_the_machine_is_what_bounds() {
        let memory = measured(&[]).unwrap();
        assert_eq!((memory.process_bytes, memory.limit_bytes), (100 << 10, 8000 << 10));
        assert_eq!((memory.free_bytes, memory.stalled_percent), (4000 << 10, 0));
    }

    #[test]
    fn the_tightest_of_the_cgroups_bounds_and_pages_of_files_count_as_free() {
        let mount = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let memory = measured(&[
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/pod/container/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/container/memory.current", "900\n"),
            ("sys/fs/cgroup/pod/container/memory.pressure", "full avg10=20.00 avg60=0.00\n"),
            ("sys/fs/cgroup/pod/memory.max", "1000\n"),
            ("sys/fs/cgroup/pod/memory.current", "950\n"),
            ("sys/fs/cgroup/pod/memory.stat", "inactive_file 100\nactive_file 50\n"),
        ]);
        let expected =
            RealMemory { process_bytes: 100 << 10, free_bytes: 200, limit_bytes: 1000, stalled_percent: 20 };
        assert_eq!(memory, Some(expected));
    }

    #[test]
    fn the_first_version_of_cgroups_says_the_same_in_its_own_files() {
        let memory = measured(&[
            ("proc/self/cgroup", "4:memory:/kubepods/c1\n"),
            (
                "proc/self/mountinfo",
                "32 23 0:28 /kubepods/c1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "600\n"),
            ("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 100\n"),
        ]);
        assert_eq!(memory.map(|memory| (memory.free_bytes, memory.limit_bytes)), Some((500, 1000)));
    }

    #[test]
    fn this_very_process_can_be_measured() {
        let memory = MemoryWatch::new().measure().unwrap();
        assert!(memory.process_bytes > 1 << 20 && memory.free_bytes <= memory.limit_bytes, "{memory:?}");
    }
}
