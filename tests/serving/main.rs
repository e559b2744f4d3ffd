//! `make bench-serving`: what happens to requests while a sidecar does something else besides, measured on the real
//! program over HTTP on loopback. Prints a table, and writes it where it is told to.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measurement says what it measured")]

mod arguments;
mod batching;
mod clients;
mod density;
mod instances;
mod neighbours;
mod pipeline;
mod row;
mod sidecar;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;
use ostler_tests::machine;

use arguments::{Arguments, What};
use row::{Row, table};

/// What went wrong: then nothing was measured.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(measure(&arguments)));
    match measured {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the serving could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<String, Failure> {
    let scratch = tempfile::tempdir()?;
    let mut rows: Vec<Row> = Vec::new();
    for what in arguments.rows() {
        println!("measuring: {} (load average {})", what.name(), machine::load_average());
        rows.extend(match what {
            What::Batching => batching::measure(arguments, scratch.path()).await?,
            What::Instances => instances::measure(arguments, scratch.path()).await?,
            What::Transcription => neighbours::beside_a_transcription(arguments, scratch.path()).await?,
            What::Loading => neighbours::beside_loads(arguments, scratch.path()).await?,
            What::Density => density::measure(arguments, scratch.path()).await?,
            What::Pipeline => pipeline::measure(arguments, scratch.path()).await?,
        });
    }
    let text = format!("{}\n\n{}", machine::description(), table(&rows));
    if let Some(path) = &arguments.write {
        std::fs::write(path, format!("{}{text}\n", row::PREFACE))?;
    }
    Ok(text)
}
