//! Name resolution that refuses private addresses, so that a redirect to an allowed name cannot be pointed into the
//! cluster or at the machine itself (DNS rebinding).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::is_private;

/// The name has no address.
#[derive(Debug, thiserror::Error)]
#[error("no address for {0}")]
pub(crate) struct Unresolved(pub(crate) String, #[source] pub(crate) Option<std::io::Error>);

/// The name has only addresses that may not be used.
#[derive(Debug, thiserror::Error)]
#[error("{0} has only private addresses")]
pub(crate) struct OnlyPrivate(pub(crate) String);

/// Whether the endpoint is at a private address itself: then its storage may be, too. It is learnt from the
/// endpoint's own resolution, which always comes before a redirect's.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrivateEndpoint(Arc<AtomicBool>);

impl PrivateEndpoint {
    pub(crate) fn new(is_private: bool) -> Self {
        Self(Arc::new(AtomicBool::new(is_private)))
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, is_private: bool) {
        self.0.store(is_private, Ordering::Relaxed);
    }
}

/// The resolver of one client.
#[derive(Debug)]
pub(crate) struct GuardedResolver {
    pub(crate) endpoint_host: String,
    pub(crate) private_endpoint: PrivateEndpoint,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let is_endpoint = host.eq_ignore_ascii_case(&self.endpoint_host);
        let private_endpoint = self.private_endpoint.clone();
        Box::pin(async move {
            let looked_up = tokio::net::lookup_host((host.as_str(), 0)).await.map(Iterator::collect);
            let found: Vec<SocketAddr> = match looked_up {
                Ok(found) => found,
                Err(error) => return Err(Unresolved(host, Some(error)).into()),
            };
            if found.is_empty() {
                return Err(Unresolved(host, None).into());
            }
            if is_endpoint {
                private_endpoint.set(found.iter().any(|address| is_private(address.ip())));
            }
            let may_be_private = is_endpoint || private_endpoint.get();
            let usable: Vec<SocketAddr> =
                found.into_iter().filter(|address| may_be_private || !is_private(address.ip())).collect();
            if usable.is_empty() {
                return Err(OnlyPrivate(host).into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(endpoint_host: &str, is_endpoint_private: bool, name: &str) -> Result<usize, String> {
        let private_endpoint = PrivateEndpoint::new(is_endpoint_private);
        let resolver = GuardedResolver { endpoint_host: endpoint_host.to_owned(), private_endpoint };
        let found = resolver.resolve(name.parse().unwrap()).await;
        found.map(Iterator::count).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_for_the_endpoint_alone() {
        assert!(resolve("localhost", false, "localhost").await.unwrap() > 0);
        assert!(resolve("hub.example", true, "localhost").await.unwrap() > 0);
        assert!(resolve("hub.example", false, "localhost").await.unwrap_err().contains("private"));
        assert!(
            resolve("hub.example", false, "no-such-host.invalid").await.unwrap_err().contains("no address")
        );
    }
}
