//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use ostler_tests::real_models;

use crate::Failure;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bound {
    OperatorMemory,
    Change,
    IdleSidecar,
    WarmRequest,
    Load,
}

/// Measures the bounds of size and speed, and fails where one is broken.
#[derive(Debug, Parser)]
#[command(name = "ostler-bounds")]
pub(crate) struct Arguments {
    /// Measure this alone; may be repeated.
    #[arg(long)]
    only: Vec<Bound>,
    /// How many ModelDeployments the operator looks after.
    #[arg(long, default_value_t = 500)]
    pub(crate) deployments: usize,
    /// The folder of ostler-operator and ostler-sidecar [default: the one of this program].
    #[arg(long)]
    programs: Option<PathBuf>,
    /// The folder of whisper-base [default: where tests/real-models/fetch.sh puts it].
    #[arg(long)]
    whisper_base: Option<PathBuf>,
}

impl Arguments {
    /// Whether this is to be measured.
    pub(crate) fn wants(&self, bound: Bound) -> bool {
        self.only.is_empty() || self.only.contains(&bound)
    }

    /// The folder of the programs.
    pub(crate) fn programs(&self) -> Result<PathBuf, Failure> {
        let folder = match &self.programs {
            Some(folder) => folder.clone(),
            None => std::env::current_exe()?.parent().ok_or("this program lies in no folder")?.to_owned(),
        };
        for name in ["ostler-operator", "ostler-sidecar"] {
            if !folder.join(name).is_file() {
                return Err(format!(
                    "{} has no {name}: build it first, as make bounds does",
                    folder.display()
                )
                .into());
            }
        }
        Ok(folder.canonicalize()?)
    }

    /// The folder of whisper-base.
    pub(crate) fn whisper_base(&self) -> Result<PathBuf, Failure> {
        Ok(real_models::whisper_base(self.whisper_base.as_ref())?)
    }
}
