//! Cuts a client off from the API server at a chosen moment, so that a test can end the operator just there.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::client::Body;
use tokio::sync::watch;
use tower::{Layer, Service};

/// After the first successful write to one path, no answer comes back any more, not even that one.
#[derive(Debug, Clone)]
pub struct Interruption {
    path: Option<String>,
    happened: Arc<watch::Sender<bool>>,
}

impl Interruption {
    /// After a PATCH of this path, without its query.
    #[must_use]
    pub fn after_patch_of(path: String) -> Self {
        Self { path: Some(path), happened: Arc::new(watch::Sender::new(false)) }
    }

    pub(super) fn never() -> Self {
        Self { path: None, happened: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits until it has happened.
    ///
    /// # Panics
    /// After a minute.
    pub async fn happened(&self) {
        let mut receiver = self.happened.subscribe();
        let waited =
            tokio::time::timeout(crate::wait::PATIENCE, receiver.wait_for(|happened| *happened)).await;
        assert!(waited.is_ok(), "the write to {:?} never came", self.path);
    }
}

impl<S> Layer<S> for Interruption {
    type Service = Interrupted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Interrupted { inner, interruption: self.clone() }
    }
}

/// A service behind an [`Interruption`].
#[derive(Debug, Clone)]
pub struct Interrupted<S> {
    inner: S,
    interruption: Interruption,
}

impl<S, B> Service<Request<Body>> for Interrupted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Interruption { path, happened } = self.interruption.clone();
        if *happened.borrow() {
            return Box::pin(pending());
        }
        let decisive = request.method() == Method::PATCH && path.as_deref() == Some(request.uri().path());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if decisive && answer.status().is_success() {
                happened.send_replace(true);
                pending::<()>().await;
            }
            Ok(answer)
        })
    }
}
