//! The `ostler-sidecar` program.

use std::process::ExitCode;

use clap::Parser;
use ostler_sidecar::args::Arguments;
use ostler_sidecar::command;

fn main() -> ExitCode {
    command::execute(Arguments::parse().command)
}
