//! Where log lines go: the standard error, as text on a terminal and as JSON otherwise.

use std::io::{IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[error("the log could not be set up")]
pub struct TelemetryError(#[from] TryInitError);

/// Sets up the log, filtered by `RUST_LOG`. With `bars`, lines are written above the bars, and only warnings unless
/// the filter says otherwise.
///
/// # Errors
/// [`TelemetryError`] where a log has been set up already.
pub fn init(bars: Option<&MultiProgress>) -> Result<(), TelemetryError> {
    // The audio library calls a client's broken file an error of its own; the client is told, the log need not be.
    let default =
        if bars.is_some() { "warn,symphonia=off" } else { "info,hyper=warn,tower=warn,symphonia=off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    match bars {
        Some(bars) => builder.with_writer(AboveBars(bars.clone())).finish().try_init()?,
        None if std::io::stderr().is_terminal() => {
            builder.with_writer(std::io::stderr).finish().try_init()?
        }
        None => builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .finish()
            .try_init()?,
    }
    Ok(())
}

/// Takes the bars away while a line is written.
struct AboveBars(MultiProgress);

impl<'writer> MakeWriter<'writer> for AboveBars {
    type Writer = LineAboveBars<'writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        LineAboveBars(&self.0)
    }
}

struct LineAboveBars<'bars>(&'bars MultiProgress);

impl Write for LineAboveBars<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
