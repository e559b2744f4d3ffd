//! The resident memory of a sidecar that has a plan and reports, and has loaded nothing.

use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::measurement::Measurement;
use crate::pod::SidecarPod;
use crate::{Failure, fleet};
use ostler_tests::machine::memory;

/// The bound, in megabytes.
const BOUND: f64 = 60.0;
/// How long it has been idle when it is measured.
const REST: Duration = Duration::from_secs(10);

/// Measures it with a plan of four lazily loaded models of two versions.
pub(crate) async fn measure(cluster: &Cluster) -> Result<Measurement, Failure> {
    let namespace = cluster.control_plane.namespace("idle").await;
    let pod = SidecarPod::start(cluster, &namespace, &fleet::model_deployment("idle", 1, false)).await?;
    sleep(REST).await;
    let memory = memory(pod.process())?;
    Ok(Measurement {
        what: "idle sidecar memory",
        bound: BOUND,
        measured: memory.resident,
        unit: "MB",
        remark: format!("4 Lazy models of 2 versions planned, none loaded; at most {:.1} MB", memory.peak),
    })
}
