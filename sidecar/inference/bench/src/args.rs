//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures Ostler's models against their peers, and against the floor that the processor sets.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure, and print the report.
    Run(RunArguments),
    /// Answer the driver's questions with Ostler's engines.
    #[command(hide = true)]
    Worker,
}

/// How to measure.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The folder that peers/setup.sh prints.
    #[arg(long)]
    pub peers: PathBuf,
    /// The root of the repository.
    #[arg(long, default_value = ".")]
    pub repository: PathBuf,
    /// Only rows whose name contains one of these, such as `whisper`, `opus-mt-16`, `float32-2`.
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// How often each contender does a row; a fifth as often where it takes many seconds.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repetitions: u16,
    /// How many threads everybody may use: a row for each.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 1])]
    pub threads: Vec<u16>,
    /// Also put the report into this document, between its marks; not where only some rows are measured.
    #[arg(long)]
    pub write: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        let arguments = ["ostler-bench", "run", "--peers", "/p", "--rows", "whisper,load"];
        let Command::Run(run) = Arguments::parse_from(arguments).command else { panic!("run") };
        assert_eq!((run.rows.len(), run.repetitions, run.threads), (2, 7, vec![2, 1]));
    }
}
