//! The programs of the test cluster, built from Go modules once and kept outside the tree.
//!
//! The script `e2e/cluster/binaries.sh` alone knows how; it can be run by hand and gives the same answer.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{CommandError, capture};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/binaries.sh");

/// Where the programs lie or will lie: `$OSTLER_CACHE/cluster/DIGEST/bin`, with `~/.cache/ostler` when
/// `OSTLER_CACHE` is unset. Nothing is built; the folder exists complete or not at all.
///
/// # Errors
/// [`CommandError`] when neither `OSTLER_CACHE` nor `HOME` is set.
pub fn directory() -> Result<PathBuf, CommandError> {
    let answer = capture(Command::new("bash").arg(SCRIPT).arg("--directory"))?;
    Ok(PathBuf::from(answer.trim()))
}

/// The folder of the programs, which are built first where they are missing: about 12 minutes on 2 cores. Calls at
/// the same time, from other processes too, build once.
///
/// # Errors
/// [`CommandError`] with the words of the build.
pub fn ensure() -> Result<PathBuf, CommandError> {
    let directory = directory()?;
    if directory.is_dir() {
        return Ok(directory);
    }
    let answer = capture(Command::new("bash").arg(SCRIPT))?;
    Ok(PathBuf::from(answer.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_absolute_and_ends_in_bin() {
        let directory = directory().unwrap();
        assert!(directory.is_absolute() && directory.ends_with("bin"), "{}", directory.display());
    }
}
