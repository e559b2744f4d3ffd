//! The command line, and what each command does.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use ostler_e2e::access::Access;
use ostler_e2e::images::Part;
use ostler_e2e::{binaries, cluster, demo, installation};

/// A whole Kubernetes on this machine, for tests and the demo. Needs root.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The folder of everything that the cluster writes [default: beside the cached programs].
    #[arg(long, global = true, env = "OSTLER_E2E_STATE")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds the cluster's programs where they are missing, and prints their folder.
    Binaries,
    /// Starts the cluster.
    Up,
    /// Stops the cluster and removes everything that it left.
    Down,
    /// Says which components run.
    Status,
    /// Prints the path of the kubeconfig.
    Kubeconfig,
    /// Gives the node an image from an OCI archive.
    ImportImage {
        /// The archive.
        archive: PathBuf,
    },
    /// Stops one component, such as kube-apiserver.
    Stop {
        /// Its name, as `status` prints it.
        component: String,
    },
    /// Starts a stopped component again.
    Resume {
        /// Its name, as `status` prints it.
        component: String,
    },
    /// Packs one of the project's programs, as cargo built it, into an OCI archive, and prints the image's name.
    Image {
        /// Which one.
        part: Part,
        /// The archive to write.
        archive: PathBuf,
    },
    /// Shows Ostler at work: cluster, chart, models, a transcript, a translation, a change of version.
    Demo,
    /// Removes everything that the demo made.
    DemoDown,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let state = match self.state {
            Some(state) => state,
            None => cluster::default_state()?,
        };
        let mut out = std::io::stdout();
        match self.command {
            Command::Binaries => writeln!(out, "{}", binaries::ensure()?.display())?,
            Command::Up => {
                let cluster = cluster::up(&binaries::ensure()?, &state)?;
                writeln!(out, "export KUBECONFIG={}", cluster.kubeconfig().display())?;
            }
            Command::Down => cluster::down(&state)?,
            Command::Status => {
                for (name, running) in cluster::open(&state)?.status() {
                    writeln!(out, "{name:<24} {}", if running { "running" } else { "stopped" })?;
                }
            }
            Command::Kubeconfig => writeln!(out, "{}", cluster::open(&state)?.kubeconfig().display())?,
            Command::ImportImage { archive } => cluster::open(&state)?.import_image(&archive)?,
            Command::Stop { component } => cluster::open(&state)?.stop(&component)?,
            Command::Resume { component } => cluster::open(&state)?.resume(&component)?,
            Command::Image { part, archive } => writeln!(out, "{}", part.pack(&programs()?, &archive)?)?,
            Command::Demo => demo::run(&state, &programs()?)?,
            Command::DemoDown => match Access::existing() {
                Some(access) => installation::uninstall(&access)?,
                None => cluster::down(&state)?,
            },
        }
        Ok(())
    }
}

fn programs() -> std::io::Result<PathBuf> {
    Ok(installation::programs_beside(&std::env::current_exe()?))
}
