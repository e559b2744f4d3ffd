//! A one-node Kubernetes on this machine: started, stopped, and broken on purpose.
//!
//! It needs root, and leaves nothing behind: no process, mount, interface, control group or kernel setting. One runs
//! at a time, because the bridge and the addresses are fixed.

mod certificates;
mod components;
mod error;
mod files;
mod host;
pub mod layout;
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use components::NAMES as COMPONENTS;
pub use error::ClusterError;
use layout::{Layout, NODE, Ports};
use process::Process;

use crate::command::{CommandError, output, tail};
use crate::image::{self, Image};

/// How long one component may take until it is up. All together need about six seconds.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A cluster that has been started.
#[derive(Debug, Clone)]
pub struct Cluster {
    layout: Layout,
}

/// Starts the cluster and waits until its node is ready: about six seconds. A cluster that already runs from this
/// state folder is answered as it is.
///
/// # Errors
/// [`ClusterError`]; what had been started is removed again.
pub fn up(binaries: &Path, state: &Path) -> Result<Cluster, ClusterError> {
    if !rustix::process::geteuid().is_root() {
        return Err(ClusterError::NotRoot);
    }
    if let Ok(cluster) = open(state) {
        if cluster.status().values().all(|running| *running) {
            return Ok(cluster);
        }
        down(state)?;
    }
    if host::has_bridge() {
        return Err(ClusterError::Occupied);
    }
    let layout = lay_out(binaries, state)?;
    let cluster = Cluster { layout };
    cluster.start_all().inspect_err(|_| {
        // The first error is the one to tell; what cannot be removed now is tried again by the next `up` or `down`.
        let _ = down(state);
    })?;
    Ok(cluster)
}

/// Stops the cluster of a state folder and removes everything that it left on the machine, the folder included.
/// Without a cluster there it does nothing.
///
/// # Errors
/// [`ClusterError::Host`] when something could not be removed.
pub fn down(state: &Path) -> Result<(), ClusterError> {
    let Ok(cluster) = open(state) else { return Ok(()) };
    // The kubelet and containerd go first and by force, so that they start nothing new for what is taken away.
    for name in components::NAMES.iter().rev() {
        if let Some(process) = cluster.process(name) {
            process.end(Duration::ZERO);
        }
    }
    host::end_pods(&cluster.layout).map_err(ClusterError::Host)?;
    host::clean(&cluster.layout).map_err(ClusterError::Host)?;
    host::restore_kernel_settings(&cluster.layout.kernel_settings);
    Ok(())
}

/// The cluster that was started in a state folder.
///
/// # Errors
/// [`ClusterError::NotStarted`] when there is none.
pub fn open(state: &Path) -> Result<Cluster, ClusterError> {
    let path = Layout::file(state);
    let text = fs::read_to_string(&path).map_err(|_| ClusterError::NotStarted { state: state.to_owned() })?;
    let layout = serde_json::from_str(&text).map_err(|source| ClusterError::Malformed { path, source })?;
    Ok(Cluster { layout })
}

/// The state folder when none is named: beside the programs, outside the tree.
///
/// # Errors
/// [`CommandError`] when neither `OSTLER_CACHE` nor `HOME` is set.
pub fn default_state() -> Result<PathBuf, CommandError> {
    let binaries = crate::binaries::directory()?;
    let root = binaries.ancestors().nth(2).unwrap_or(&binaries);
    Ok(root.join("state"))
}

fn lay_out(binaries: &Path, state: &Path) -> Result<Layout, ClusterError> {
    fs::create_dir_all(state).map_err(|source| file_error(state, source))?;
    let state = state.canonicalize().map_err(|source| file_error(state, source))?;
    let binaries = binaries.canonicalize().map_err(|source| file_error(binaries, source))?;
    let ports = Ports::free().map_err(ClusterError::Host)?;
    let layout = Layout {
        state,
        binaries,
        ports,
        kernel_settings: host::kernel_settings(),
        new_folders: host::absent_folders(),
    };
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(&layout.state, private).map_err(|source| file_error(&layout.state, source))?;
    let text = serde_json::to_string_pretty(&layout)
        .map_err(|source| ClusterError::Malformed { path: Layout::file(&layout.state), source })?;
    write(&Layout::file(&layout.state), text.as_bytes())?;
    Ok(layout)
}

impl Cluster {
    /// The file that `kubectl`, Helm and clients read: an administrator of the cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// The path of one of the programs, such as `kubectl` or `helm`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.layout.program(name)
    }

    /// The folder of the components' logs (`COMPONENT.log`) and all other files of the cluster.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.layout.state
    }

    /// Which components run.
    #[must_use]
    pub fn status(&self) -> BTreeMap<&'static str, bool> {
        components::NAMES
            .into_iter()
            .map(|name| (name, self.process(name).is_some_and(Process::is_alive)))
            .collect()
    }

    /// Stops one component, as a crash of it would. Pods go on running.
    ///
    /// # Errors
    /// [`ClusterError::UnknownComponent`].
    pub fn stop(&self, name: &str) -> Result<(), ClusterError> {
        let component = self.component(name)?;
        if let Some(process) = self.process(component.name) {
            process.end(Duration::from_secs(5));
        }
        Ok(())
    }

    /// Starts a stopped component again and waits until it is up.
    ///
    /// # Errors
    /// [`ClusterError::UnknownComponent`], or [`ClusterError::NotReady`] with its log.
    pub fn resume(&self, name: &str) -> Result<(), ClusterError> {
        let component = self.component(name)?;
        if !self.process(component.name).is_some_and(Process::is_alive) {
            self.start(&component)?;
        }
        Ok(())
    }

    /// Gives the node an image, from an OCI archive. Pods use it with `imagePullPolicy: IfNotPresent` or `Never`.
    ///
    /// # Errors
    /// [`ClusterError::Command`] with containerd's words.
    pub fn import_image(&self, archive: &Path) -> Result<(), ClusterError> {
        self.containerd(&["images", "import", "--local", &archive.to_string_lossy()])?;
        Ok(())
    }

    fn start_all(&self) -> Result<(), ClusterError> {
        for folder in ["pki", "network", "kubelet"] {
            let path = self.layout.state.join(folder);
            fs::create_dir_all(&path).map_err(|source| file_error(&path, source))?;
        }
        fs::create_dir_all(layout::RUN_FOLDER).map_err(ClusterError::Host)?;
        certificates::write(&self.layout.state.join("pki"))?;
        for (name, text) in files::all(&self.layout) {
            write(&self.layout.state.join(name), text.as_bytes())?;
        }
        host::make_control_groups().map_err(ClusterError::Host)?;
        host::make_bridge()?;
        for name in components::NAMES {
            self.start(&self.component(name)?)?;
            if name == "containerd" {
                self.import_pause_image()?;
            }
        }
        self.wait("kubelet", || {
            let condition = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
            self.kubectl(&["get", "node", NODE, "-o", condition]).is_ok_and(|answer| answer == "True")
        })
    }

    fn import_pause_image(&self) -> Result<(), ClusterError> {
        let image = Image {
            files: vec![(self.layout.program("pause"), "/pause".to_owned())],
            entrypoint: vec!["/pause".to_owned()],
            environment: Vec::new(),
        };
        let archive = self.layout.state.join("pause.tar");
        image::write(&image, |_| files::PAUSE_IMAGE.to_owned(), &archive)?;
        self.import_image(&archive)
    }

    fn component(&self, name: &str) -> Result<components::Component, ClusterError> {
        components::component(&self.layout, name)
            .ok_or_else(|| ClusterError::UnknownComponent { name: name.to_owned() })
    }

    fn start(&self, component: &components::Component) -> Result<(), ClusterError> {
        let name = component.name;
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.layout.binaries.display());
        let log = self.layout.state.join(format!("{name}.log"));
        let program = self.layout.program(name);
        let process = process::start(&program, &component.arguments, &self.layout.state, &path, &log)
            .map_err(|source| file_error(&program, source))?;
        let record = serde_json::to_string(&process)
            .map_err(|source| ClusterError::Malformed { path: self.record(name), source })?;
        write(&self.record(name), record.as_bytes())?;
        match name {
            "kube-apiserver" => self.wait(name, || self.kubectl(&["get", "--raw", "/readyz"]).is_ok()),
            "containerd" => self.wait(name, || self.containerd(&["version"]).is_ok()),
            _ => Ok(()),
        }
    }

    fn record(&self, name: &str) -> PathBuf {
        self.layout.state.join(format!("{name}.process"))
    }

    fn process(&self, name: &str) -> Option<Process> {
        serde_json::from_str(&fs::read_to_string(self.record(name)).ok()?).ok()
    }

    fn wait(&self, component: &'static str, mut ready: impl FnMut() -> bool) -> Result<(), ClusterError> {
        let deadline = Instant::now() + START_LIMIT;
        while !ready() {
            let ended = !self.process(component).is_some_and(Process::is_alive);
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.layout.state.join(format!("{component}.log")));
                let log = tail(&log.unwrap_or_default(), 4000).to_owned();
                let seconds = START_LIMIT.as_secs();
                return Err(ClusterError::NotReady { component, seconds, log });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String, CommandError> {
        let kubeconfig = self.kubeconfig();
        let kubeconfig = kubeconfig.to_string_lossy();
        let arguments = [&["--kubeconfig", &*kubeconfig][..], arguments].concat();
        output(self.layout.program("kubectl"), &arguments)
    }

    fn containerd(&self, arguments: &[&str]) -> Result<String, CommandError> {
        let socket = self.layout.containerd_socket();
        let arguments = [&["--address", socket.as_str(), "--namespace", "k8s.io"][..], arguments].concat();
        output(self.layout.program("ctr"), &arguments)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ClusterError> {
    fs::write(path, bytes).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> ClusterError {
    ClusterError::File { path: path.to_owned(), source }
}
