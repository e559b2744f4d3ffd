//! The `ostler-operator` program.

use clap::Parser;
use ostler_operator::args::Arguments;
use ostler_operator::{run, telemetry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

// Two threads are plenty, and each more has a heap of its own, however many processors the node has.
#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let validated = Arguments::parse().validate()?;
    telemetry::start();
    // One provider of cryptography for every client in the process.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut settings = kube::Config::infer().await?;
    // Requests are tried again by the operator's own rules; the client's own would wait up to 1000 seconds.
    settings.default_retry = false;
    let client = kube::Client::try_from(settings)?;
    let listener = TcpListener::bind(validated.listen).await?;
    let shutdown = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(run::run(client, listener, validated.config, shutdown).await?)
}
