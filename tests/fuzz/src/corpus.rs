//! The committed files that inputs are made of.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::error::FuzzError;
use crate::target::{Place, Target};

/// The folder of a target's corpus.
fn folder(target: &Target, place: &Place) -> PathBuf {
    place.folder.join("tests/corpora").join(target.corpus)
}

/// Holds the files that a program makes to what it makes, or writes them.
pub(crate) fn check_seeds(target: &Target, place: &Place, may_write: bool) -> Result<(), FuzzError> {
    let folder = folder(target, place);
    for (name, bytes) in (target.seeds)() {
        let path = folder.join(name);
        if may_write {
            fs::create_dir_all(&folder).map_err(|source| FuzzError::file(&folder, source))?;
            fs::write(&path, bytes).map_err(|source| FuzzError::file(&path, source))?;
        } else if fs::read(&path).map_err(|source| FuzzError::file(&path, source))? != bytes {
            return Err(FuzzError::Seed { path });
        }
    }
    Ok(())
}

/// Every file of a corpus, in the order of their names.
pub(crate) fn read(target: &Target, place: &Place) -> Result<Vec<Vec<u8>>, FuzzError> {
    let folder = folder(target, place);
    let of_folder = |source| FuzzError::file(&folder, source);
    let mut paths: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            paths.collect::<io::Result<_>>().map_err(of_folder)?
        }
        // A corpus may consist of files elsewhere alone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !target.files.is_empty() => Vec::new(),
        Err(error) => return Err(of_folder(error)),
    };
    paths.sort();
    paths.extend(target.files.iter().map(|file| place.folder.join(file)));
    let file = |path: PathBuf| fs::read(&path).map_err(|source| FuzzError::file(&path, source));
    paths.into_iter().map(file).collect()
}
