//! The pod template: the user's, with the sidecar in it.

use serde_json::{Map, Value, json};

use super::sidecar_container::USER;
use super::{access, placement, sidecar_container, volumes};
use crate::names;
use crate::settings::Settings;
use crate::validated::ValidatedDeployment;

/// Time for requests to finish after a pod is told to go, where the template says nothing.
const GRACE_SECONDS: i64 = 60;

/// The pod template. The sidecar is a native sidecar beside the template's containers, or the pod's only container
/// where there are none.
pub(super) fn template(deployment: &ValidatedDeployment, settings: &Settings) -> Value {
    let parts = &deployment.template;
    let mut spec = parts.spec.clone();
    let (ours, mounts): (Vec<Value>, Vec<Value>) = volumes::volumes(deployment).into_iter().unzip();
    let mut sidecar = sidecar_container::container(deployment, mounts, settings);
    let mut init_containers = parts.init_containers.clone();
    let containers = if parts.containers.is_empty() {
        sidecar.remove("restartPolicy");
        vec![Value::Object(sidecar)]
    } else {
        sidecar.insert("restartPolicy".to_owned(), json!("Always"));
        init_containers.insert(0, Value::Object(sidecar));
        parts.containers.clone()
    };
    spec.insert("containers".to_owned(), containers.into());
    if !init_containers.is_empty() {
        spec.insert("initContainers".to_owned(), init_containers.into());
    }
    spec.insert("volumes".to_owned(), [parts.volumes.clone(), ours].concat().into());
    // No container but the sidecar gets a token of the API.
    spec.insert("automountServiceAccountToken".to_owned(), json!(false));
    spec.remove("serviceAccount");
    spec.insert("serviceAccountName".to_owned(), json!(access::service_account(deployment)));
    spec.entry("terminationGracePeriodSeconds").or_insert(json!(GRACE_SECONDS));
    secure(&mut spec, parts.containers.is_empty());
    placement::add(placement::placement(deployment.gpu.as_ref()), &mut spec);
    json!({
        "metadata": {"labels": labels(deployment), "annotations": parts.annotations},
        "spec": spec,
    })
}

fn labels(deployment: &ValidatedDeployment) -> Map<String, Value> {
    let ours = names::labels(&deployment.identity.name);
    let all = deployment.template.labels.clone().into_iter().chain(ours);
    all.map(|(key, value)| (key, json!(value))).collect()
}

/// A claim is writable for the sidecar's group, whoever else is in the pod; the rest is said for pods of our own, since
/// the sidecar's container says it for itself and other containers are the user's matter.
fn secure(spec: &mut Map<String, Value>, own: bool) {
    let context = spec.entry("securityContext").or_insert_with(|| json!({}));
    let Value::Object(context) = context else { return };
    context.entry("fsGroup").or_insert(json!(USER));
    context.entry("fsGroupChangePolicy").or_insert(json!("OnRootMismatch"));
    if own {
        context.entry("runAsNonRoot").or_insert(json!(true));
        context.entry("seccompProfile").or_insert(json!({"type": "RuntimeDefault"}));
    }
}
