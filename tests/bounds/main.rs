//! `make bounds`: measures what the project promises of its size and speed, and fails where a promise is broken.
//!
//! The programs are real, built for release, and so are etcd, kube-apiserver and kube-controller-manager; the kubelet
//! alone is played. Nothing outlives the run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measurement says what it measured")]

mod arguments;
mod change;
mod cluster;
mod fleet;
mod idle_sidecar;
mod load;
mod measurement;
mod operator_memory;
mod pod;
mod warm_request;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Bound};
use cluster::Cluster;
use measurement::{Measurement, table};
use ostler_tests::machine;

/// What went wrong; a measurement that cannot be made is as bad as a broken bound.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(measure(&arguments)));
    match measured {
        Ok(measurements) => {
            println!("{}", table(&measurements));
            if measurements.iter().all(Measurement::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("the bounds could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<Vec<Measurement>, Failure> {
    println!("{}", machine::description());
    let mut measurements = Vec::new();
    // Those without a cluster come first, while nothing else runs.
    if arguments.wants(Bound::WarmRequest) {
        announce("a warm request");
        measurements.push(warm_request::measure().await?);
    }
    if arguments.wants(Bound::Load) {
        announce("loading whisper-base");
        measurements.push(load::measure(&arguments.whisper_base()?)?);
    }
    let of_cluster = [Bound::OperatorMemory, Bound::Change, Bound::IdleSidecar];
    if of_cluster.into_iter().any(|bound| arguments.wants(bound)) {
        announce("starting a control plane and the operator");
        let mut cluster = Cluster::start(arguments.programs()?).await?;
        if arguments.wants(Bound::OperatorMemory) {
            announce("the operator's memory");
            measurements.push(operator_memory::measure(&mut cluster, arguments.deployments).await?);
        }
        if arguments.wants(Bound::Change) {
            announce("changes to a loaded sidecar");
            measurements.push(change::measure(&cluster).await?);
        }
        if arguments.wants(Bound::IdleSidecar) {
            announce("an idle sidecar");
            measurements.push(idle_sidecar::measure(&cluster).await?);
        }
    }
    Ok(measurements)
}

/// The load average beside each measurement tells whether the machine was quiet.
fn announce(what: &str) {
    println!("measuring: {what} (load average {})", machine::load_average());
}
