//! What a client is told: where the Hub is, which token it takes, and how long anything may last.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// Where the Hub is and how to talk to it. No field holds the token itself, so `Debug` cannot show it.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// The Hub's address, such as `https://huggingface.co`. A path is kept as a prefix.
    pub endpoint: Url,
    /// The file that holds the token; it is read again on each use, because mounted secrets are rotated.
    pub token_file: Option<PathBuf>,
    /// What the client calls itself in each request.
    pub user_agent: String,
    /// Hosts beside the endpoint's own that a redirect may lead to: `cdn.example.org`, or `*.example.org` for all
    /// names below it.
    pub allowed_redirect_hosts: Vec<String>,
    /// How long anything may last and how large it may be.
    pub bounds: HubBounds,
}

impl HubSettings {
    /// The settings for an endpoint, without a token. For huggingface.co the hosts of its own storage are allowed
    /// as redirect targets.
    #[must_use]
    pub fn new(endpoint: Url) -> Self {
        let is_hugging_face = endpoint
            .host_str()
            .is_some_and(|host| host == "huggingface.co" || host.ends_with(".huggingface.co"));
        let hosts: &[&str] = if is_hugging_face { &["*.hf.co", "*.huggingface.co"] } else { &[] };
        Self {
            endpoint,
            token_file: None,
            user_agent: concat!("ostler/", env!("CARGO_PKG_VERSION")).to_owned(),
            allowed_redirect_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            bounds: HubBounds::default(),
        }
    }
}

/// The bounds of every wait and size. The defaults suit a slow line to huggingface.co; tests shorten them.
#[derive(Debug, Clone)]
pub struct HubBounds {
    /// For a connection to stand, TLS included.
    pub connect: Duration,
    /// For the head of an answer, and for each next piece of a body.
    pub idle: Duration,
    /// For a whole JSON answer, redirects included.
    pub answer: Duration,
    /// The largest JSON answer, in bytes.
    pub answer_bytes: usize,
    /// The stretch of waiting over which a body's rate is measured.
    pub rate_window: Duration,
    /// The lowest rate of a body, in bytes per second, over each window.
    pub minimum_rate: u64,
}

impl Default for HubBounds {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            answer_bytes: 16 << 20,
            rate_window: Duration::from_secs(30),
            minimum_rate: 1024,
        }
    }
}
