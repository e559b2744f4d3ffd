//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

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
        if let Some(folder) = &self.whisper_base {
            return Ok(folder.clone());
        }
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/ostler"));
        let cache = std::env::var_os("OSTLER_CACHE").map(PathBuf::from).or_else(home);
        let folder = cache.ok_or("neither OSTLER_CACHE nor HOME is set")?.join("real-models/whisper-base");
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(format!("{} is missing: run tests/real-models/fetch.sh", folder.display()).into())
    }
}
