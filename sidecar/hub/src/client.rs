//! The client: every request to the Hub goes through here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ostler_crds::names::{Commit, RepositoryId, Revision};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, LOCATION, RANGE};
use url::{Host, Url};

use crate::address::is_private;
use crate::download::Download;
use crate::error::{HubError, Resource, shown};
use crate::failure;
use crate::file_path::check_file_path;
use crate::head::check_hub_headers;
use crate::redirect::{MAX_REDIRECTS, RedirectRules};
use crate::repository_revision::{self, ListingProblem, RepositoryRevision};
use crate::resolver::{GuardedResolver, PrivateEndpoint};
use crate::settings::HubSettings;
use crate::token;

/// A client of one Hub. Clones share connections.
#[derive(Debug, Clone)]
pub struct HubClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    settings: HubSettings,
    rules: RedirectRules,
    private_endpoint: PrivateEndpoint,
}

/// One request, and how to speak of it.
struct Asked {
    url: Url,
    /// The commit that every answer of the endpoint must be of.
    commit: Option<Commit>,
    range_start: u64,
    resource: Resource,
    subject: String,
}

/// The successful end of a request, and what the endpoint's own heads said on the way.
struct Answered {
    response: reqwest::Response,
    linked_size: Option<u64>,
}

impl HubClient {
    /// Builds a client; no request is made yet.
    ///
    /// # Errors
    /// `Endpoint` where the address cannot be a Hub's, `Client` where TLS could not be set up.
    pub fn new(settings: HubSettings) -> Result<Self, HubError> {
        check_endpoint(&settings.endpoint)?;
        let (host, literal) = match settings.endpoint.host() {
            Some(Host::Domain(name)) => (name.to_owned(), None),
            Some(Host::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => (address.to_string(), Some(IpAddr::V6(address))),
            None => (String::new(), None),
        };
        let private_endpoint = PrivateEndpoint::new(literal.is_some_and(is_private));
        let resolver =
            GuardedResolver { endpoint_host: host.clone(), private_endpoint: private_endpoint.clone() };
        let resolver = Arc::new(resolver);
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(&settings.user_agent)
                .connect_timeout(settings.bounds.connect)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .dns_resolver(Arc::clone(&resolver));
            // A proxy cannot reach this machine's own loopback.
            let is_local = literal.is_some_and(|address| address.is_loopback()) || host == "localhost";
            if is_local { builder.no_proxy() } else { builder }
        };
        let http = match builder().build() {
            // An image without root certificates is enough for a Hub that speaks plain HTTP; trusting nobody, the
            // client then refuses every https address.
            Err(_) if settings.endpoint.scheme() == "http" => builder().tls_certs_only([]).build(),
            built => built,
        };
        let http = http.map_err(|source| HubError::Client { source })?;
        let rules = RedirectRules {
            endpoint: settings.endpoint.clone(),
            allowed_hosts: settings.allowed_redirect_hosts.clone(),
        };
        Ok(Self { inner: Arc::new(Inner { http, settings, rules, private_endpoint }) })
    }

    /// The Hub's address.
    #[must_use]
    pub fn endpoint(&self) -> &Url {
        &self.inner.settings.endpoint
    }

    /// Resolves a revision to its commit and lists the files there.
    ///
    /// # Errors
    /// Any failure of the request, and `MalformedAnswer` where the listing is incomplete or hostile.
    pub async fn revision(
        &self,
        repository: &RepositoryId,
        revision: &Revision,
    ) -> Result<RepositoryRevision, HubError> {
        let parts = ["api", "models", repository.owner(), repository.name(), "revision", revision.as_str()];
        let mut url = self.url(parts.into_iter());
        url.set_query(Some("blobs=true"));
        let subject = format!("{repository} at {revision}");
        let asked = Asked {
            url,
            commit: None,
            range_start: 0,
            resource: Resource::Revision,
            subject: subject.clone(),
        };
        let bounds = &self.inner.settings.bounds;
        let body = tokio::time::timeout(bounds.answer, self.read_answer(asked)).await.map_err(|_| {
            HubError::Stalled {
                subject: subject.clone(),
                detail: format!("no whole answer within {:?}", bounds.answer),
            }
        })??;
        let malformed = |problem| HubError::MalformedAnswer { subject: subject.clone(), problem };
        let found = repository_revision::parse(&body).map_err(|problem| match problem {
            ListingProblem::Malformed(problem) => malformed(problem),
            ListingProblem::Truncated => HubError::HubUnavailable {
                retry_after: None,
                subject: subject.clone(),
                detail: "the listing ends too early".to_owned(),
                source: None,
            },
        })?;
        match revision.as_commit() {
            Some(commit) if commit != found.commit => {
                Err(malformed(format!("sha: commit {} was answered for commit {commit}", found.commit)))
            }
            _ => Ok(found),
        }
    }

    /// Opens a file at a commit, from a position on.
    ///
    /// # Errors
    /// Any failure of the request; `RangeRefused` where the file is not longer than the offset.
    pub async fn open(
        &self,
        repository: &RepositoryId,
        commit: &Commit,
        path: &str,
        offset: u64,
    ) -> Result<Download, HubError> {
        check_file_path(path)?;
        let parts = [repository.owner(), repository.name(), "resolve", commit.as_str()];
        let url = self.url(parts.into_iter().chain(path.split('/')));
        let subject = format!("{path} of {repository} at {commit}");
        let commit = Some(commit.clone());
        let asked =
            Asked { url, commit, range_start: offset, resource: Resource::File, subject: subject.clone() };
        let answered = self.ask(asked).await?;
        Download::new(answered.response, subject, offset, answered.linked_size, &self.inner.settings.bounds)
    }

    /// The endpoint with path segments appended, each escaped; a slash within one becomes `%2F`, as the Hub wants
    /// it in revisions.
    fn url<'a>(&self, parts: impl Iterator<Item = &'a str>) -> Url {
        let mut url = self.inner.settings.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    async fn read_answer(&self, asked: Asked) -> Result<Vec<u8>, HubError> {
        let subject = asked.subject.clone();
        let limit = self.inner.settings.bounds.answer_bytes;
        let mut response = self.ask(asked).await?.response;
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await.map_err(|error| HubError::Interrupted {
                subject: subject.clone(),
                source: error.without_url(),
            })?;
            let Some(chunk) = chunk else { return Ok(body) };
            if body.len() + chunk.len() > limit {
                let problem = format!("the answer is larger than {limit} bytes");
                return Err(HubError::MalformedAnswer { subject, problem });
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Sends a request and follows its redirects until one answers with success.
    async fn ask(&self, asked: Asked) -> Result<Answered, HubError> {
        let mut url = asked.url.clone();
        let mut linked_size = None;
        for _ in 0..=MAX_REDIRECTS {
            let from_endpoint = self.inner.rules.takes_token(&url);
            let response = self.send(&url, from_endpoint, &asked).await?;
            let (status, headers) = (response.status(), response.headers());
            if from_endpoint {
                let wanted = asked.commit.as_ref().map(Commit::as_str);
                linked_size = check_hub_headers(headers, wanted, linked_size).map_err(|problem| {
                    HubError::MalformedAnswer { subject: asked.subject.clone(), problem }
                })?;
            }
            if matches!(status.as_u16(), 200 | 206) {
                return Ok(Answered { response, linked_size });
            }
            if status.as_u16() == 416 && asked.range_start > 0 {
                return Err(HubError::RangeRefused { subject: asked.subject, offset: asked.range_start });
            }
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                // Statuses of a redirect's target are judged apart, see `failure`.
                let now = SystemTime::now();
                return Err(failure::of_status(
                    status,
                    headers,
                    asked.resource,
                    &asked.subject,
                    from_endpoint,
                    now,
                ));
            }
            url = self.next_url(&url, headers, &asked.subject)?;
        }
        let problem = "it is the sixth in a row";
        Err(HubError::RedirectRefused { subject: asked.subject, target: shown(&url), problem })
    }

    async fn send(&self, url: &Url, with_token: bool, asked: &Asked) -> Result<reqwest::Response, HubError> {
        let mut request = self.inner.http.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let (true, Some(file)) = (with_token, &self.inner.settings.token_file) {
            request = request.header(AUTHORIZATION, token::authorization(file).await?);
        }
        if asked.range_start > 0 {
            request = request.header(RANGE, format!("bytes={}-", asked.range_start));
        }
        tracing::debug!(url = %shown(url), subject = %asked.subject, "asking the hub");
        let idle = self.inner.settings.bounds.idle;
        match tokio::time::timeout(idle, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure::of_transport(error, url, &asked.subject)),
            Err(_) => Err(HubError::Stalled {
                subject: asked.subject.clone(),
                detail: format!("no answer within {idle:?}"),
            }),
        }
    }

    fn next_url(&self, url: &Url, headers: &HeaderMap, subject: &str) -> Result<Url, HubError> {
        let malformed = |problem: &str| HubError::MalformedAnswer {
            subject: subject.to_owned(),
            problem: problem.to_owned(),
        };
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| malformed("Location: missing in a redirect"))?;
        let target = url.join(location).map_err(|_| malformed("Location: no address"))?;
        match self.inner.rules.check(&target, self.inner.private_endpoint.get()) {
            Ok(()) => Ok(target),
            Err(problem) => Err(HubError::RedirectRefused {
                subject: subject.to_owned(),
                target: shown(&target),
                problem,
            }),
        }
    }
}

fn check_endpoint(endpoint: &Url) -> Result<(), HubError> {
    let problem = if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host().is_none() {
        "must be an http or https address, such as https://huggingface.co"
    } else if !endpoint.username().is_empty() || endpoint.password().is_some() {
        "must hold no credentials; give the token as a file"
    } else if endpoint.query().is_some() || endpoint.fragment().is_some() {
        "must have no query and no fragment"
    } else {
        return Ok(());
    };
    Err(HubError::Endpoint { endpoint: shown(endpoint), problem })
}
