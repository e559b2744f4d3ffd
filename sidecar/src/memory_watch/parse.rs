//! The texts of `/proc` and of cgroups, both versions. Pure.
//!
//! Sources: proc(5), cgroups(7), and the kernel's `Documentation/admin-guide/cgroup-v2.rst`,
//! `cgroup-v1/memory.rst` and `Documentation/accounting/psi.rst`.

use std::path::{Path, PathBuf};

/// Above this a v1 limit means none: the kernel writes the largest multiple of the page size that fits into 63 bits.
const NO_LIMIT: u64 = 1 << 62;

/// Which files a cgroup has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CgroupVersion {
    /// One hierarchy for everything: `memory.max`, `memory.current`, `memory.pressure`.
    V2,
    /// A hierarchy for memory: `memory.limit_in_bytes`, `memory.usage_in_bytes`.
    V1,
}

/// A cgroup's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    pub(super) version: CgroupVersion,
    pub(super) folder: PathBuf,
}

/// The cgroups that bound the process's memory, its own first, then those above it as far as they can be seen.
/// `membership` is `/proc/self/cgroup`, `mounts` is `/proc/self/mountinfo`.
pub(super) fn cgroups(membership: &str, mounts: &str) -> Vec<Cgroup> {
    // Where both hierarchies are there, memory is in the one of version 1.
    let found = [CgroupVersion::V1, CgroupVersion::V2].into_iter().find_map(|version| {
        let member = membership.lines().find_map(|line| member_path(line, version))?;
        let (root, mount_point) = mounts.lines().find_map(|line| mount(line, version))?;
        // In a container the path may be the host's, which is not to be seen here; the mount is the container's own.
        let below = Path::new(member).strip_prefix(root).unwrap_or(Path::new(""));
        // Components, since a path that is joined with nothing ends in a slash.
        Some((version, mount_point.join(below).components().collect::<PathBuf>(), mount_point.to_owned()))
    });
    let Some((version, own, top)) = found else { return Vec::new() };
    let folders = own.ancestors().take_while(|folder| folder.starts_with(&top));
    folders.map(|folder| Cgroup { version, folder: folder.to_owned() }).collect()
}

/// The path of a line such as `0::/kubepods/pod1` or `4:cpu,memory:/kubepods/pod1`.
fn member_path(line: &str, version: CgroupVersion) -> Option<&str> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let is_it = match version {
        CgroupVersion::V2 => number == "0" && controllers.is_empty(),
        CgroupVersion::V1 => controllers.split(',').any(|controller| controller == "memory"),
    };
    is_it.then_some(path)
}

/// The root within the hierarchy and the mount point of a line such as
/// `30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw`.
fn mount(line: &str, version: CgroupVersion) -> Option<(&str, &Path)> {
    let (place, system) = line.split_once(" - ")?;
    let mut place = place.split(' ');
    let (root, mount_point) = (place.nth(3)?, place.next()?);
    let mut system = system.split(' ');
    let (kind, options) = (system.next()?, system.nth(1)?);
    let is_it = match version {
        CgroupVersion::V2 => kind == "cgroup2",
        CgroupVersion::V1 => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    is_it.then_some((root, Path::new(mount_point)))
}

/// A limit in bytes; none where the text says that there is none.
pub(super) fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// The bytes of `memory.stat` that the kernel gives back as soon as somebody needs them: pages of files.
pub(super) fn reclaimable(stat: &str, version: CgroupVersion) -> u64 {
    let names = match version {
        CgroupVersion::V2 => ["inactive_file", "active_file"],
        CgroupVersion::V1 => ["total_inactive_file", "total_active_file"],
    };
    let value = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        names.contains(&name).then(|| value.trim().parse::<u64>().ok())?
    };
    stat.lines().filter_map(value).sum()
}

/// The percentage of the last ten seconds in which nobody could run for want of memory, from `memory.pressure`.
pub(super) fn stalled_percent(pressure: &str) -> Option<u8> {
    let full = pressure.lines().find_map(|line| line.strip_prefix("full "))?;
    let average: f64 = full.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()?;
    // The kernel writes 0.00 to 100.00.
    Some(average.clamp(0.0, 100.0) as u8)
}

/// The bytes of a line of `/proc/self/status` or `/proc/meminfo`, such as `VmRSS: 125000 kB`.
pub(super) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const V1_MOUNTS: &str = "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                             32 23 0:28 /kubepods/pod1 /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory";

    fn folders(membership: &str, mounts: &str) -> Vec<String> {
        cgroups(membership, mounts).iter().map(|cgroup| cgroup.folder.display().to_string()).collect()
    }

    #[test]
    fn the_own_cgroup_comes_first_and_then_those_above_it() {
        let table: [(&str, &str, &str, &[&str]); 6] = [
            (
                "v2 on a host",
                "0::/system.slice/ostler.service",
                V2_MOUNT,
                &[
                    "/sys/fs/cgroup/system.slice/ostler.service",
                    "/sys/fs/cgroup/system.slice",
                    "/sys/fs/cgroup",
                ],
            ),
            ("v2 in a container with its own namespace", "0::/", V2_MOUNT, &["/sys/fs/cgroup"]),
            (
                "v1 in a container that sees the host's path",
                "9:cpu:/kubepods/pod1/c1\n4:memory:/kubepods/pod1/c1\n0::/",
                V1_MOUNTS,
                &["/sys/fs/cgroup/memory/c1", "/sys/fs/cgroup/memory"],
            ),
            (
                "v1 where the mount is of another place",
                "4:memory:/elsewhere",
                V1_MOUNTS,
                &["/sys/fs/cgroup/memory"],
            ),
            ("nothing mounted", "0::/a", "", &[]),
            ("no member", "", V2_MOUNT, &[]),
        ];
        for (name, membership, mounts, expected) in table {
            assert_eq!(folders(membership, mounts), expected, "{name}");
        }
    }

    #[test]
    fn limits_follow_the_table() {
        let table = [
            ("max\n", None),
            ("9223372036854771712\n", None),
            ("536870912\n", Some(536_870_912)),
            ("", None),
            ("-1", None),
        ];
        for (text, expected) in table {
            assert_eq!(limit(text), expected, "{text:?}");
        }
    }

    #[test]
    fn pages_of_files_can_be_had_back() {
        let v2 = "anon 100\nfile 70\ninactive_file 30\nactive_file 20\nshmem 20\n";
        let v1 = "cache 70\ninactive_file 1\ntotal_inactive_file 30\ntotal_active_file 25\n";
        assert_eq!(reclaimable(v2, CgroupVersion::V2), 50);
        assert_eq!(reclaimable(v1, CgroupVersion::V1), 55);
        assert_eq!(reclaimable("damaged", CgroupVersion::V2), 0);
    }

    #[test]
    fn stalls_are_those_that_hold_up_everybody() {
        let text = "some avg10=40.10 avg60=0.00 avg300=0.00 total=5\nfull avg10=12.92 avg60=0.10 avg300=0.00 total=3\n";
        assert_eq!(stalled_percent(text), Some(12));
        assert_eq!(stalled_percent("some avg10=1.00"), None);
        assert_eq!(stalled_percent("full avg10=much"), None);
    }

    #[test]
    fn figures_of_proc_are_in_kibibytes() {
        let text = "MemTotal:        2048 kB\nMemAvailable:    1024 kB\nVmRSS:\t  125 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable"), Some(1 << 20));
        assert_eq!(kibibytes(text, "VmRSS"), Some(128_000));
        assert_eq!(kibibytes(text, "Mem"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "\\PC{0,200}") {
            cgroups(&text, &text);
            limit(&text);
            stalled_percent(&text);
            kibibytes(&text, "a");
            reclaimable(&text, CgroupVersion::V1);
        }
    }
}
