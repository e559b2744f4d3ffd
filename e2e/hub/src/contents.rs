//! The files of a commit: where their bytes lie, and the digests that git and Large File Storage give them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::error::TestHubError;

/// From this length on a text file goes to Large File Storage too, as the Hub demands (10 MiB).
const LARGE_FILE: u64 = 10 << 20;

/// How much of a file is looked at to tell text from binary.
const SNIFFED_BYTES: usize = 8192;

/// Where a file's bytes lie.
#[derive(Debug, Clone)]
pub enum Contents {
    /// On disk, streamed for each request. The file must not change while a commit holds it.
    Path(PathBuf),
    /// In memory.
    Bytes(Bytes),
}

/// What is pushed as a commit.
#[derive(Debug, Clone)]
pub enum Files {
    /// Every file below a folder.
    Folder(PathBuf),
    /// Files given one by one: path in the repository, and contents.
    List(Vec<(String, Bytes)>),
}

impl From<&Path> for Files {
    fn from(folder: &Path) -> Self {
        Self::Folder(folder.to_owned())
    }
}

impl<P: Into<String>, B: Into<Bytes>> From<Vec<(P, B)>> for Files {
    fn from(files: Vec<(P, B)>) -> Self {
        Self::List(files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect())
    }
}

impl<P: Into<String>, B: Into<Bytes>, const N: usize> From<[(P, B); N]> for Files {
    fn from(files: [(P, B); N]) -> Self {
        Self::from(Vec::from(files))
    }
}

/// One file of a commit.
#[derive(Debug, Clone)]
pub(crate) struct HubFile {
    pub(crate) contents: Contents,
    pub(crate) size: u64,
    /// SHA-1 of git's blob: of the contents, or of the pointer for a file in Large File Storage.
    pub(crate) blob_id: String,
    pub(crate) large: Option<LargeFile>,
}

/// What Large File Storage knows of a file.
#[derive(Debug, Clone)]
pub(crate) struct LargeFile {
    pub(crate) sha256: String,
    pub(crate) pointer_size: usize,
}

/// Reads and digests everything that is pushed.
pub(crate) fn read_files(files: Files) -> Result<BTreeMap<String, HubFile>, TestHubError> {
    let mut found = BTreeMap::new();
    match files {
        Files::List(list) => {
            for (path, bytes) in list {
                let file = digest(&bytes[..], bytes.len() as u64, &path)?;
                found.insert(path, file.with(Contents::Bytes(bytes)));
            }
        }
        Files::Folder(folder) => {
            for path in walk(&folder)? {
                let name = path.strip_prefix(&folder).unwrap_or(&path);
                let name =
                    name.to_str().ok_or_else(|| TestHubError::FileName { path: path.clone() })?.to_owned();
                let unreadable = |source| TestHubError::Read { path: path.clone(), source };
                let size = std::fs::metadata(&path).map_err(unreadable)?.len();
                let file = digest(File::open(&path).map_err(unreadable)?, size, &name)?;
                found.insert(name, file.with(Contents::Path(path)));
            }
        }
    }
    Ok(found)
}

/// Every file below a folder, links followed, git's own folder left out.
fn walk(folder: &Path) -> Result<Vec<PathBuf>, TestHubError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let unreadable = |source| TestHubError::Read { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != ".git") {
                folders.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

struct Digests {
    size: u64,
    blob_id: String,
    large: Option<LargeFile>,
}

impl Digests {
    fn with(self, contents: Contents) -> HubFile {
        HubFile { contents, size: self.size, blob_id: self.blob_id, large: self.large }
    }
}

fn digest(mut reader: impl Read, size: u64, name: &str) -> Result<Digests, TestHubError> {
    let mut git = Sha1::new();
    git.update(format!("blob {size}\0"));
    let mut storage = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut is_large = size >= LARGE_FILE;
    let mut is_first = true;
    loop {
        let read = reader
            .read(&mut buffer)
            .map_err(|source| TestHubError::Read { path: PathBuf::from(name), source })?;
        if read == 0 {
            break;
        }
        let bytes = &buffer[..read];
        if is_first {
            is_large |= is_binary(&bytes[..read.min(SNIFFED_BYTES)]);
            is_first = false;
        }
        git.update(bytes);
        storage.update(bytes);
    }
    if !is_large {
        return Ok(Digests { size, blob_id: hex::encode(git.finalize()), large: None });
    }
    let sha256 = hex::encode(storage.finalize());
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n");
    let blob_id = hex::encode(Sha1::digest(format!("blob {}\0{pointer}", pointer.len())));
    Ok(Digests { size, blob_id, large: Some(LargeFile { sha256, pointer_size: pointer.len() }) })
}

/// Whether the start of a file is no text: not UTF-8, or with a NUL.
fn is_binary(start: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(start) {
        Ok(_) => true,
        // A character that the end of the sniffed part cuts is still text.
        Err(error) => error.error_len().is_none() && start.len() - error.valid_up_to() < 4,
    };
    !is_utf8 || start.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_gets_gits_blob_id() {
        let files = read_files(Files::from([("a.txt", "hello\n")])).unwrap();
        // `printf 'hello\n' | git hash-object --stdin`
        assert_eq!(files["a.txt"].blob_id, "ce013625030ba8dba906f756967f9e9ca394464a");
        assert!(files["a.txt"].large.is_none());
    }

    #[test]
    fn binary_goes_to_large_file_storage() {
        let files = read_files(Files::from([("a.bin", &b"\0\x01\x02"[..])])).unwrap();
        let large = files["a.bin"].large.as_ref().unwrap();
        assert_eq!(large.sha256, "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc");
        assert_eq!(files["a.bin"].size, 3);
    }

    #[test]
    fn a_folder_gives_the_same_files_as_a_list() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/a.txt"), "hello\n").unwrap();
        let from_folder = read_files(Files::from(folder.path())).unwrap();
        assert_eq!(from_folder["sub/a.txt"].blob_id, "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
