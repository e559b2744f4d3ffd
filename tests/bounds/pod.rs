//! A pod whose sidecar is a real process with the pod's own arguments, account and token. The kubelet is played.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use ostler_crds::model_deployment::ModelDeployment;
use ostler_crds::serving_plan::PLAN_KEY;
use ostler_tests::control_plane::free_ports;
use ostler_tests::guard::Guarded;
use ostler_tests::sidecar;
use ostler_tests::wait::eventually;

use crate::cluster::{Cluster, answers};
use crate::{Failure, fleet};

/// The sidecar's container.
const CONTAINER: &str = "ostler-sidecar";
/// Arguments that name places inside the pod.
const PLACES: [&str; 4] = ["--plan=", "--cache-dir=", "--listen=", "--status-listen="];
/// The longest that an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// The only pod of a `ModelDeployment`.
pub(crate) struct SidecarPod {
    process: Guarded,
    address: String,
    client: reqwest::Client,
}

impl SidecarPod {
    /// Applies a `ModelDeployment` of one replica, runs the sidecar of its pod, and returns once it is ready in the
    /// operator's words.
    pub(crate) async fn start(
        cluster: &Cluster,
        namespace: &str,
        deployment: &ModelDeployment,
    ) -> Result<Self, Failure> {
        let name = deployment.name_any();
        let deployments: Api<ModelDeployment> = Api::namespaced(cluster.client.clone(), namespace);
        deployments.create(&PostParams::default(), deployment).await?;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        let pod = eventually("the pod to be made", async || {
            pods.list(&ListParams::default()).await.ok()?.items.pop()
        })
        .await;
        let plans: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
        let plan = plans.get(&format!("{name}-plan")).await?.data.and_then(|mut data| data.remove(PLAN_KEY));

        let control_plane = &cluster.control_plane;
        let folder = control_plane.folder().join(pod.name_any());
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(PLAN_KEY), plan.ok_or("the ConfigMap holds no plan")?)?;
        let container = container(&pod).ok_or("the pod has no sidecar")?;
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let account = account.ok_or("the pod has no account")?;
        let token = control_plane.token(namespace, account, Some(&pod)).await;
        let kubeconfig = control_plane.kubeconfig_with_token(&pod.name_any(), &token);
        let [port, status_port] = free_ports();

        let mut arguments = vec![
            format!("KUBECONFIG={}", kubeconfig.display()),
            format!("POD_NAME={}", pod.name_any()),
            format!("POD_NAMESPACE={namespace}"),
            format!("POD_UID={}", pod.uid().unwrap_or_default()),
            cluster.programs.join("ostler-sidecar").display().to_string(),
        ];
        let is_place = |argument: &&String| PLACES.iter().any(|place| argument.starts_with(place));
        arguments.extend(container.args.iter().flatten().filter(|argument| !is_place(argument)).cloned());
        arguments.extend([
            format!("--plan={}", folder.join(PLAN_KEY).display()),
            format!("--cache-dir={}", folder.join("cache").display()),
            format!("--listen=127.0.0.1:{port}"),
            format!("--status-listen=127.0.0.1:{status_port}"),
        ]);
        let started = Timestamp::from_second(Timestamp::now().as_second())?;
        let process = Guarded::start(Path::new("env"), &arguments, &folder.join("log"), None);
        answers(&format!("http://127.0.0.1:{status_port}/readyz"), "the sidecar to be ready").await;
        sidecar::runs(&pods, &pod.name_any(), &started.to_string()).await;
        fleet::ready(&cluster.client, namespace, 1).await;
        let client = reqwest::Client::builder().timeout(ANSWER_TIME).build()?;
        Ok(Self { process, address: format!("http://127.0.0.1:{port}"), client })
    }

    /// The number of the sidecar's process.
    pub(crate) fn process(&self) -> u32 {
        self.process.process_id()
    }

    /// Which version detects a text's language now, by the answer's header.
    pub(crate) async fn version_that_detects(&self) -> Result<String, Failure> {
        let request = self.client.post(format!("{}/detect", self.address)).form(&[("q", "Guten Morgen.")]);
        let answer = request.send().await?.error_for_status()?;
        let version = answer.headers().get("x-ostler-version").ok_or("no version is named")?;
        Ok(version.to_str()?.to_owned())
    }
}

fn container(pod: &Pod) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.into_iter().find(|container| container.name == CONTAINER)
}
