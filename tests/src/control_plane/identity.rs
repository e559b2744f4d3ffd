//! As whom a client speaks: the administrator, the operator, or a pod.

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::ControlPlane;
use super::chart::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE};

impl ControlPlane {
    /// How to connect as the administrator.
    ///
    /// # Panics
    /// When the kubeconfig that this module wrote cannot be read.
    pub async fn config(&self) -> Config {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).expect("the kubeconfig can be read");
        let options = KubeConfigOptions::default();
        Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("the kubeconfig is complete")
    }

    /// How to connect as the holder of a token.
    ///
    /// # Panics
    /// As [`Self::config`].
    pub async fn config_with_token(&self, token: String) -> Config {
        let mut config = self.config().await;
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        config
    }

    /// How to connect as the operator, with the account and the roles that the chart gives it.
    ///
    /// # Panics
    /// When the API server gives no token.
    pub async fn operator_config(&self) -> Config {
        let token = self.token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT, None).await;
        self.config_with_token(token).await
    }

    /// A client that acts as the administrator.
    ///
    /// # Panics
    /// As [`Self::config`].
    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).expect("a client can be made")
    }

    /// A token of an account, bound to a pod where one is given, as a kubelet asks for it.
    ///
    /// # Panics
    /// When the API server gives none.
    pub async fn token(&self, namespace: &str, account: &str, pod: Option<&Pod>) -> String {
        let bound_object_ref = pod.map(|pod| BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        });
        let spec = TokenRequestSpec { bound_object_ref, ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
        answer.expect("the API server gives a token").status.expect("a granted request has a status").token
    }
}
