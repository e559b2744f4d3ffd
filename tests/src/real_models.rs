//! Where the real models are that `tests/real-models/fetch.sh` brings.

use std::io;
use std::path::PathBuf;

/// The folder of whisper-base: the one that was named, else where the script puts it.
///
/// # Errors
/// Where it is missing.
pub fn whisper_base(named: Option<&PathBuf>) -> io::Result<PathBuf> {
    if let Some(folder) = named {
        return Ok(folder.clone());
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/ostler"));
    let cache = std::env::var_os("OSTLER_CACHE").map(PathBuf::from).or_else(home);
    let cache = cache.ok_or_else(|| io::Error::other("neither OSTLER_CACHE nor HOME is set"))?;
    let folder = cache.join("real-models/whisper-base");
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(io::Error::other(format!("{} is missing: run tests/real-models/fetch.sh", folder.display())))
}
