//! Decides where a redirect may lead, and whether the token goes along.

use core::net::IpAddr;

use url::{Host, Url};

use crate::address::is_private;

/// The most redirects of one request. The Hub uses one, a renamed repository two.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// What decides about redirects: the endpoint and the hosts that the settings allow.
#[derive(Debug, Clone)]
pub(crate) struct RedirectRules {
    pub(crate) endpoint: Url,
    pub(crate) allowed_hosts: Vec<String>,
}

impl RedirectRules {
    /// Whether the token may be sent to an address: to the endpoint's own origin alone.
    pub(crate) fn takes_token(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    /// Checks where a redirect leads.
    ///
    /// # Errors
    /// Says why it must not be followed and what would allow it.
    pub(crate) fn check(&self, target: &Url, is_endpoint_private: bool) -> Result<(), &'static str> {
        match target.scheme() {
            "https" => {}
            "http" if self.endpoint.scheme() == "http" => {}
            "http" => return Err("it leads from https to http"),
            _ => return Err("it leads to neither http nor https"),
        }
        if !target.username().is_empty() || target.password().is_some() {
            return Err("it holds credentials");
        }
        let Some(host) = target.host() else { return Err("it names no host") };
        if Some(&host) == self.endpoint.host().as_ref() {
            return Ok(());
        }
        if !self.is_allowed(&host) {
            return Err(
                "its host is not the endpoint's own; allow it in the administrator's list of redirect hosts",
            );
        }
        let literal = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        };
        if literal.is_some_and(is_private) && !is_endpoint_private {
            return Err("it leads to a private address, and the endpoint is not at one");
        }
        Ok(())
    }

    fn is_allowed(&self, host: &Host<&str>) -> bool {
        let text = host.to_string().to_ascii_lowercase();
        let is_name = matches!(host, Host::Domain(_));
        self.allowed_hosts.iter().any(|pattern| {
            let pattern = pattern.to_ascii_lowercase();
            match pattern.strip_prefix('*') {
                Some(suffix) => is_name && suffix.starts_with('.') && text.ends_with(suffix),
                None => text == pattern,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(endpoint: &str, hosts: &[&str]) -> RedirectRules {
        let allowed_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        RedirectRules { endpoint: endpoint.parse().unwrap(), allowed_hosts }
    }

    #[test]
    fn redirects_follow_the_list() {
        let public = rules("https://huggingface.co", &["*.hf.co", "cdn.example.org", "10.0.0.9"]);
        let table = [
            ("https://huggingface.co/a", true),
            ("https://huggingface.co:8443/a", true),
            ("https://cdn-lfs.hf.co/a?signature=1", true),
            ("https://CDN.example.org/a", true),
            ("https://hf.co/a", false),
            ("https://evilhf.co/a", false),
            ("https://hf.co.evil.example/a", false),
            ("https://a.cdn.example.org/a", false),
            ("http://cdn-lfs.hf.co/a", false),
            ("http://huggingface.co/a", false),
            ("file:///etc/passwd", false),
            ("https://user:secret@cdn.example.org/a", false),
            ("https://10.0.0.9/a", false),
            ("https://127.0.0.1/a", false),
            ("https://169.254.169.254/latest", false),
        ];
        for (target, is_followed) in table {
            assert_eq!(public.check(&target.parse().unwrap(), false).is_ok(), is_followed, "{target}");
        }
        assert!(public.check(&"https://10.0.0.9/a".parse().unwrap(), true).is_ok());
    }

    #[test]
    fn an_endpoint_at_loopback_still_refuses_its_neighbours() {
        let local = rules("http://127.0.0.1:80", &[]);
        assert!(local.check(&"http://127.0.0.1:81/a".parse().unwrap(), true).is_ok());
        assert!(local.check(&"http://127.0.0.2/a".parse().unwrap(), true).is_err());
    }

    #[test]
    fn the_token_stays_at_the_endpoints_origin() {
        let rules = rules("https://huggingface.co", &["*.hf.co"]);
        for (target, takes_token) in [
            ("https://huggingface.co/a", true),
            ("https://huggingface.co:443/a", true),
            ("https://huggingface.co:8443/a", false),
            ("http://huggingface.co/a", false),
            ("https://cdn.hf.co/a", false),
        ] {
            assert_eq!(rules.takes_token(&target.parse().unwrap()), takes_token, "{target}");
        }
    }
}
