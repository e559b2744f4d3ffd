//! What the cluster changes on the machine itself - bridge, kernel settings, control groups, mounts, packet filter -
//! and how each is put back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::layout::{BRIDGE, CONTROL_GROUP, Layout, NODE_IP, RUN_FOLDER};
use super::process;
use crate::command::{CommandError, output};

/// Settings that the kubelet, the bridge plugin or kube-proxy change, or that Services need.
const KERNEL_SETTINGS: [&str; 7] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Folders whose place containerd, the network plugins and the kubelet do not let us choose.
const FIXED_FOLDERS: [&str; 5] =
    ["/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods"];

/// The fixed folders that do not exist now, and so belong to the cluster once they do.
pub(super) fn absent_folders() -> Vec<PathBuf> {
    FIXED_FOLDERS.into_iter().map(PathBuf::from).filter(|path| !path.exists()).collect()
}

/// Reads the settings that the cluster will change, to be given to [`restore_kernel_settings`]. A setting that this
/// kernel lacks is left out.
pub(super) fn kernel_settings() -> BTreeMap<String, String> {
    let value = |name: &str| fs::read_to_string(Path::new("/proc/sys").join(name)).ok();
    KERNEL_SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
}

/// Puts settings back; one that cannot be written is left, as it could not have been changed either.
pub(super) fn restore_kernel_settings(settings: &BTreeMap<String, String>) {
    for (name, value) in settings {
        let _ = fs::write(Path::new("/proc/sys").join(name), value);
    }
}

/// Whether a cluster of this kind already has its bridge on this machine.
pub(super) fn has_bridge() -> bool {
    Path::new("/sys/class/net").join(BRIDGE).exists()
}

/// Makes the bridge with the node's address, which the API server listens on before any pod exists.
pub(super) fn make_bridge() -> Result<(), CommandError> {
    output("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
    output("ip", &["address", "add", &format!("{NODE_IP}/24"), "dev", BRIDGE])?;
    output("ip", &["link", "set", BRIDGE, "up"])?;
    output("sysctl", &["-qw", "net.ipv4.ip_forward=1"])?;
    Ok(())
}

/// Makes the control group that holds the pods, in every hierarchy of version 1 or in the one of version 2.
pub(super) fn make_control_groups() -> io::Result<()> {
    for root in control_group_roots()? {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            // A controller that version 1 holds, or that may not be passed on, is simply not there for the pods.
            let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let group = root.join(CONTROL_GROUP);
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // In version 1 these two start empty, and no process can enter the group before they are set.
        for name in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(root.join(name)) {
                fs::write(group.join(name), value)?;
            }
        }
    }
    Ok(())
}

/// Ends every process in the pods, and those that containerd left to watch over them.
pub(super) fn end_pods(layout: &Layout) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut left: Vec<i32> = shims(&layout.containerd_socket())?;
        for root in control_group_roots()? {
            collect_processes(&root.join(CONTROL_GROUP), &mut left);
        }
        if left.is_empty() || Instant::now() > deadline {
            return Ok(());
        }
        for pid in left {
            process::kill(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Removes the mounts below the cluster's folders, deepest first, then the bridge, the packet filter's tables, the
/// control groups and the folders outside the state folder.
pub(super) fn clean(layout: &Layout) -> io::Result<()> {
    let ours = |path: &Path| path.starts_with(&layout.state) || path.starts_with(RUN_FOLDER);
    for mount in mounts(&fs::read_to_string("/proc/mounts")?).iter().rev().filter(|path| ours(path)) {
        // Lazily: a mount that is still busy goes with the last process that uses it.
        let _ = output("umount", &[Path::new("-l"), mount]);
    }
    let _ = output("ip", &["link", "delete", BRIDGE]);
    for family in ["ip", "ip6"] {
        let _ = output("nft", &["delete", "table", family, "kube-proxy"]);
    }
    for root in control_group_roots()? {
        remove_groups(&root.join(CONTROL_GROUP));
    }
    remove_links_into(Path::new("/var/log/containers"), &layout.state);
    remove_cached_results(Path::new("/var/lib/cni/results"));
    let new = layout.new_folders.iter().map(PathBuf::as_path);
    for folder in new.chain([Path::new(RUN_FOLDER), &layout.state]) {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The mount points of all control group hierarchies.
fn control_group_roots() -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/mounts")?;
    let is_group = |line: &&str| matches!(line.split_whitespace().nth(2), Some("cgroup" | "cgroup2"));
    Ok(table
        .lines()
        .filter(is_group)
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(PathBuf::from)
        .collect())
}

/// The mount points in a `/proc/mounts` text, in the order in which they were mounted.
fn mounts(table: &str) -> Vec<PathBuf> {
    table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        // Spaces are written as octal there.
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .collect()
}

/// The processes that containerd starts beside each pod, told by the socket in their arguments.
fn shims(socket: &str) -> io::Result<Vec<i32>> {
    let ours = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"))
                && words.any(|word| word == socket.as_bytes())
        })
    };
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).filter(ours).collect())
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

fn collect_processes(group: &Path, pids: &mut Vec<i32>) {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(group).filter(|child| child.is_dir()) {
        collect_processes(&child, pids);
    }
}

fn remove_groups(group: &Path) {
    for child in children(group).filter(|child| child.is_dir()) {
        remove_groups(&child);
    }
    let _ = fs::remove_dir(group);
}

/// The kubelet links every container's log into this folder, whatever its own folder is.
fn remove_links_into(folder: &Path, target: &Path) {
    for link in children(folder) {
        if fs::read_link(&link).is_ok_and(|path| path.starts_with(target)) {
            let _ = fs::remove_file(link);
        }
    }
}

/// The network plugins keep the result of each call, named by the network.
fn remove_cached_results(folder: &Path) {
    let ours = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ostler-e2e-"))
    };
    for file in children(folder).filter(ours) {
        let _ = fs::remove_file(file);
    }
}
