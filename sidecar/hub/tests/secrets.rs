//! Nothing that the client or the libraries below it log holds the token or a signed address. Alone in its process,
//! because a log has one subscriber.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::{Arc, Mutex};

use ostler_crds::names::{RepositoryId, Revision};
use ostler_hub::{HubClient, HubSettings};
use ostler_test_hub::{Fault, On, TestHub};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_holds_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let hub = TestHub::start().await.unwrap();
    let files = [("config.json", b"{}".to_vec()), ("model.bin", b"\0weights".to_vec())];
    let commit = hub.push("tiny/model", "main", files).unwrap().parse().unwrap();
    hub.require_token("tiny/model", "hf_secret").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "hf_secret").unwrap();
    let settings =
        HubSettings { token_file: Some(token_file), ..HubSettings::new(hub.endpoint().parse().unwrap()) };
    let client = HubClient::new(settings).unwrap();
    let repository: RepositoryId = "tiny/model".parse().unwrap();

    client.revision(&repository, &Revision::main()).await.unwrap();
    let mut download = client.open(&repository, &commit, "model.bin", 0).await.unwrap();
    while download.next_chunk().await.unwrap().is_some() {}
    hub.fault(On::any(), Fault::status(500));
    let error = client.open(&repository, &commit, "config.json", 0).await.unwrap_err();
    tracing::error!(error = &error as &dyn std::error::Error, ?client, ?download, "failed");

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("asking the hub") && log.contains("status 500"), "the log was caught");
    assert!(!log.contains("hf_secret"), "{log}");
    assert!(!log.contains("signature="), "a signed address is a credential: {log}");
}
