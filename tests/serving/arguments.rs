//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ostler_tests::real_models;

use crate::Failure;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Translations by many clients, worked on together and each alone.
    Batching,
    /// One instance and four under a quota of one and a half processors.
    Instances,
    /// Translations while a long transcription runs.
    Transcription,
    /// Translations while a large model is loaded again and again.
    Loading,
    /// Fifty models behind a budget that holds a few.
    Density,
    /// Memory and loads of a speech and a translation model.
    Pipeline,
}

impl What {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Measures what happens to requests while a sidecar does something else besides.
#[derive(Debug, Parser)]
#[command(name = "ostler-serving")]
pub(crate) struct Arguments {
    /// Measure this alone; may be repeated.
    #[arg(long)]
    only: Vec<What>,
    /// How long each thing is measured, in seconds; the fifty models five times as long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// The file to write the table to.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
    /// The program ostler-sidecar [default: the one beside this program].
    #[arg(long)]
    sidecar: Option<PathBuf>,
    /// The folder of whisper-base [default: where tests/real-models/fetch.sh puts it].
    #[arg(long)]
    whisper_base: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn rows(&self) -> Vec<What> {
        if self.only.is_empty() { What::value_variants().to_vec() } else { self.only.clone() }
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(crate) fn sidecar(&self) -> Result<PathBuf, Failure> {
        let program = match &self.sidecar {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("ostler-sidecar"),
        };
        if program.is_file() {
            return Ok(program);
        }
        Err(format!("{} is missing: build it first, as make bench-serving does", program.display()).into())
    }

    pub(crate) fn whisper_base(&self) -> Result<PathBuf, Failure> {
        Ok(real_models::whisper_base(self.whisper_base.as_ref())?)
    }
}
