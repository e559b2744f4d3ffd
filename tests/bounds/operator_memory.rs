//! The operator's resident memory with a fleet to look after: once it has settled, and again after a restart, when all
//! of it is listed at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::cluster::Cluster;
use crate::fleet;
use crate::measurement::Measurement;
use ostler_tests::machine::Memory;

/// The bound, in megabytes.
const BOUND: f64 = 100.0;
/// How long the operator must have written nothing, once it has looked at everything, to count as settled.
const QUIET: Duration = Duration::from_secs(10);
/// How long it may take until then.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures it with so many `ModelDeployment`s.
pub(crate) async fn measure(cluster: &mut Cluster, deployments: usize) -> Result<Measurement, Failure> {
    let started = Instant::now();
    fleet::populate(cluster, deployments).await?;
    settle(cluster, deployments).await?;
    let first = cluster.operator_memory()?;
    let took = started.elapsed().as_secs();
    cluster.restart_operator().await;
    settle(cluster, deployments).await?;
    let second = cluster.operator_memory()?;
    let shown = |Memory { resident, peak }: Memory| format!("{resident:.1} MB, at most {peak:.1} MB");
    let pods = deployments * fleet::REPLICAS;
    Ok(Measurement {
        what: "operator memory",
        bound: BOUND,
        measured: first.resident.max(second.resident),
        unit: "MB",
        remark: format!(
            "{deployments} ModelDeployments of 4 models of 2 versions, {pods} reports; {} after {took} s from nothing; {} after a restart",
            shown(first),
            shown(second),
        ),
    })
}

async fn settle(cluster: &Cluster, deployments: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    let (mut writes, mut since) = (f64::NAN, Instant::now());
    while since.elapsed() < QUIET {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the operator has not settled after {} s", PATIENCE.as_secs()).into());
        }
        sleep(Duration::from_secs(1)).await;
        let now = cluster.operator_metric("ostler_operator_writes_total").await?;
        let looked_at = cluster.operator_metric("ostler_operator_reconciles_total").await?;
        if now != writes || looked_at < deployments as f64 {
            (writes, since) = (now, Instant::now());
        }
    }
    Ok(())
}
