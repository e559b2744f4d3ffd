//! `ostler-bench`: see the library.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use ostler_bench::args::{Arguments, Command};
use ostler_bench::{run, worker};

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Worker => finish(worker::serve(io::stdin().lock(), io::stdout().lock())),
        Command::Run(arguments) => {
            let report = run::run(&arguments, &mut say);
            finish(report.map(|report| {
                // Where nobody reads on, there is nothing left to do either.
                let _ = writeln!(io::stdout(), "{report}");
            }))
        }
    }
}

/// Tells on standard error what goes on; a closed one stops nothing.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn finish<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    say(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "));
    ExitCode::FAILURE
}
