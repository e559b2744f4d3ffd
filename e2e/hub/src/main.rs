//! The `ostler-test-hub` program: serves the repositories in a folder until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ostler_test_hub::{Fault, On, TestHub, TestHubError};
use tokio::signal::unix::{SignalKind, signal};

/// How long open transfers may last after the signal to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves repositories from folders as huggingface.co does.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with the repositories, each in ORGANISATION/NAME.
    #[arg(long)]
    root: PathBuf,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A file with a token that every request must bear.
    #[arg(long)]
    require_token_file: Option<PathBuf>,
    /// Sends every answer this slowly, at least 10, so that a download lasts long enough to be watched or broken.
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..))]
    bytes_per_second: Option<u32>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the hub failed");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), TestHubError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(TestHubError::Serve)?;
    let hub = TestHub::listen(arguments.listen).await?;
    // Whoever asks while the folders are being read is told to come back, and not that there is no such repository.
    hub.fault(On::any(), Fault::status(503).header("retry-after", "1"));
    let pushed = hub.push_all(&arguments.root)?;
    hub.clear_faults();
    if let Some(speed) = arguments.bytes_per_second {
        let pieces_per_second = 10;
        let piece = usize::try_from(speed / pieces_per_second).unwrap_or(usize::MAX);
        hub.fault(On::any(), Fault::new().trickling(piece, Duration::from_secs(1) / pieces_per_second));
    }
    let token = match &arguments.require_token_file {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|source| TestHubError::Read { path: path.clone(), source })?,
        ),
    };
    for (repository, commit) in pushed {
        if let Some(token) = &token {
            hub.require_token(&repository, token.trim())?;
        }
        tracing::info!(%repository, %commit, "serving");
    }
    tracing::info!(endpoint = %hub.endpoint(), "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    match tokio::time::timeout(DRAIN, hub.shut_down()).await {
        Ok(result) => result,
        // A transfer that is still open is cut.
        Err(_) => Ok(()),
    }
}
