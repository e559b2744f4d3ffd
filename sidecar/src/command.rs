//! One function for each subcommand.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use indicatif::MultiProgress;
use ostler_inference::weights::pickle::run_child;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{ArgumentsError, Command};
use crate::causes::with_causes;
use crate::config::Config;
use crate::run::{RunError, run};
use crate::telemetry::{self, TelemetryError};

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the async runtime could not be started")]
    Runtime(#[source] std::io::Error),
    #[error("{address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("signals cannot be heard")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Carries out a subcommand and says how it went, on the standard error where it failed.
#[must_use]
pub fn execute(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Run(arguments) => {
            arguments.into_config().map_err(CommandError::from).and_then(|config| start(config, None))
        }
        Command::Serve(arguments) => {
            let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
            start(arguments.into_config(), bars)
        }
        Command::Unpickle { input, output } => return run_child(&input, &output),
        Command::Version => {
            // Nobody may be listening any more.
            let _ = writeln!(std::io::stdout(), "ostler-sidecar {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "ostler-sidecar: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(config: Config, bars: Option<MultiProgress>) -> Result<(), CommandError> {
    telemetry::init(bars.as_ref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ostler-async")
        .build()
        .map_err(CommandError::Runtime)?;
    let outcome = runtime.block_on(async {
        let listener = listen(config.listen).await?;
        let status_listener = listen(config.status_listen).await?;
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Signals)?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(run(listener, status_listener, shutdown, config, bars).await?)
    });
    // A load that cannot be interrupted must not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn listen(address: SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|source| CommandError::Listen { address, source })
}
