//! How long it takes from an applied change of weights until a loaded sidecar answers by it.

use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::names::Task;
use ostler_tests::fixtures::{deployment, model};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use ostler_tests::percentile::{percentile, sorted};

use crate::measurement::Measurement;
use crate::pod::SidecarPod;
use crate::{Failure, fleet};

/// The bound, in seconds.
const BOUND: f64 = 2.0;
/// Changes, there and back.
const ROUNDS: usize = 11;
/// Between two questions to the sidecar.
const PAUSE: Duration = Duration::from_millis(5);
/// A change that has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The rest between two changes grows by this, so that they do not keep time with anything.
const REST: Duration = Duration::from_millis(170);

/// Two versions of a small classifier, of which the second gets this share.
fn split(percent: i32) -> ModelDeployment {
    let uri = "hf://ostler/xlm-roberta-language-detection";
    let language = model("language-detection", Task::TextClassification).version("v1", uri);
    deployment("change").model(language.weighted_version("v2", uri, percent).preloaded()).build()
}

/// Measures it, with both versions loaded.
pub(crate) async fn measure(cluster: &Cluster) -> Result<Measurement, Failure> {
    let namespace = cluster.control_plane.namespace("change").await;
    let pod = SidecarPod::start(cluster, &namespace, &split(0)).await?;
    let deployments: Api<ModelDeployment> = Api::namespaced(cluster.client.clone(), &namespace);
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let (version, percent) = if round % 2 == 0 { ("v2", 100) } else { ("v1", 0) };
        let patch = Patch::Merge(json!({"spec": {"models": split(percent).spec.models}}));
        let applied = Instant::now();
        deployments.patch("change", &PatchParams::default(), &patch).await?;
        while pod.version_that_detects().await? != version {
            if applied.elapsed() > PATIENCE {
                return Err(
                    format!("{version} answers nobody {} s after the change", PATIENCE.as_secs()).into()
                );
            }
            sleep(PAUSE).await;
        }
        times.push(applied.elapsed().as_secs_f64());
        fleet::ready(&cluster.client, &namespace, 1).await;
        sleep(REST * u32::try_from(round)?).await;
    }
    let times = sorted(times);
    Ok(Measurement {
        what: "change to loaded sidecar",
        bound: BOUND,
        measured: percentile(&times, 50),
        unit: "s",
        remark: format!(
            "from the apply of a weight to the answer by it, median of {ROUNDS}; the slowest {:.2} s",
            percentile(&times, 100)
        ),
    })
}
