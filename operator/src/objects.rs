//! The API of each kind that the operator makes.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Api, Client};

use crate::resources::Kind;

/// The API of one kind in one namespace, for objects of any shape.
#[must_use]
pub fn api(client: &Client, namespace: &str, kind: Kind) -> Api<DynamicObject> {
    let resource = match kind {
        Kind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        Kind::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
        Kind::RoleBinding => ApiResource::erase::<RoleBinding>(&()),
        Kind::Service => ApiResource::erase::<Service>(&()),
        Kind::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
        Kind::Deployment => ApiResource::erase::<Deployment>(&()),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}
