//! Why a run showed a fault, or did not come about.

use std::io;
use std::path::{Path, PathBuf};

/// Why a target was not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum FuzzError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// A file of a corpus is not what its program makes.
    #[error("{} is not what the test makes: look why, and run it with OSTLER_FUZZ_WRITE=1 to write it", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
    },
    /// The child did not begin.
    #[error("the child cannot be run: {0}")]
    Child(#[source] io::Error),
    /// An input showed a fault.
    #[error("{end}; the input is {}: put it into the corpus {corpus} once it is mended\n{output}", input.display())]
    Fault {
        /// How the child ended.
        end: String,
        /// The input, kept.
        input: PathBuf,
        /// The corpus of the target.
        corpus: &'static str,
        /// What the child wrote.
        output: String,
    },
}

impl FuzzError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}
