//! The client over TLS: only a valid certificate of a trusted authority is accepted, and nothing leaves TLS again.
//! The client runs in another process, because it finds its authorities through the environment.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ostler_hub::{HubClient, HubSettings};
use ostler_test_hub::TestHub;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const ENDPOINT: &str = "OSTLER_TEST_CHILD_ENDPOINT";
const TOKEN_FILE: &str = "OSTLER_TEST_CHILD_TOKEN_FILE";

/// What the other process does; without its variables there is nothing to do.
#[tokio::test]
async fn child_process() {
    let (Ok(endpoint), Ok(token_file)) = (std::env::var(ENDPOINT), std::env::var(TOKEN_FILE)) else { return };
    let mut settings = HubSettings::new(endpoint.parse().unwrap());
    settings.token_file = Some(token_file.into());
    let client = HubClient::new(settings).unwrap();
    let repository = "tiny/model".parse().unwrap();
    match client.revision(&repository, &"main".parse().unwrap()).await {
        Err(error) => println!("listing={}", error.reason()),
        Ok(revision) => {
            println!("listing=ok");
            let large = client.open(&repository, &revision.commit, "model.bin", 0).await;
            println!("large={}", large.map_or_else(|error| error.reason(), |_| "ok"));
        }
    }
}

/// An authority in a file, and a certificate of it for loopback.
struct Certificates {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn certificates(authority_file: &Path, is_expired: bool) -> Certificates {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    std::fs::write(authority_file, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    leaf.not_before = date_time_ymd(2020, 1, 1);
    leaf.not_after = if is_expired { date_time_ymd(2021, 1, 1) } else { date_time_ymd(4000, 1, 1) };
    let key = KeyPair::generate().unwrap();
    let chain = vec![leaf.signed_by(&key, &issuer).unwrap().der().clone()];
    Certificates { chain, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
}

/// Ends TLS in front of a hub.
async fn front(hub: &TestHub, certificates: Certificates) -> SocketAddr {
    let behind = hub.endpoint().strip_prefix("http://").unwrap().to_owned();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates.chain, certificates.key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let mut hub = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut hub).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_only_a_valid_certificate_of_a_trusted_authority_is_accepted() {
    let hub = TestHub::start().await.unwrap();
    hub.push("tiny/model", "main", [("model.bin", b"\0weights".to_vec())]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "hf_secret").unwrap();
    // Trusted or not, expired or not: what becomes of the listing.
    let table =
        [(true, false, "listing=ok"), (false, false, "listing=TlsFailed"), (true, true, "listing=TlsFailed")];
    for (is_trusted, is_expired, expected) in table {
        hub.forget_requests();
        let (own, other) = (folder.path().join("own.pem"), folder.path().join("other.pem"));
        let address = front(&hub, certificates(&own, is_expired)).await;
        certificates(&other, false);
        let output = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_process", "--nocapture"])
            .env(ENDPOINT, format!("https://{address}"))
            .env(TOKEN_FILE, &token_file)
            .env("SSL_CERT_FILE", if is_trusted { own } else { other })
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(expected), "{is_trusted} {is_expired}: {output:?}");
        let is_accepted = expected == "listing=ok";
        assert_eq!(!hub.requests().is_empty(), is_accepted, "nothing is sent without trust");
        // The hub behind redirects large files to plain HTTP.
        assert_eq!(text.contains("large=RedirectRefused"), is_accepted, "{text}");
    }
}
