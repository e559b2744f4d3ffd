//! The digest of a folder of the user's own, for `file://` sources: the same files give the same digest anywhere.

use std::fs::File;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::blocking::{self, Cancellation};
use crate::digest::read_through;
use crate::error::ArtifactError;

/// Digests every file below a folder: `sha256:` and 64 hexadecimal digits, of the sorted list of paths, sizes and
/// contents' digests. Links are followed; hidden folders, which hold version control and download state, are left
/// out. Dropping the future stops it.
///
/// # Errors
/// `SourceFolder` where the folder or a file cannot be read, or there is no file.
pub async fn digest_folder(path: PathBuf) -> Result<String, ArtifactError> {
    blocking::run(move |cancellation| {
        let mut files = walk(&path)?;
        files.sort();
        if files.is_empty() {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no file in it");
            return Err(ArtifactError::SourceFolder { path, source });
        }
        let mut folder = Sha256::new();
        for file in files {
            let (size, digest) = digest_file(&file, cancellation)?;
            let name = file.strip_prefix(&path).unwrap_or(&file);
            folder.update(name.as_os_str().as_encoded_bytes());
            folder.update([0]);
            folder.update(size.to_le_bytes());
            folder.update(digest);
        }
        Ok(format!("sha256:{}", hex::encode(folder.finalize())))
    })
    .await
}

/// The deepest folder that is looked into; a link to a folder above would lead round for ever.
const MAX_DEPTH: usize = 16;

fn walk(root: &Path) -> Result<Vec<PathBuf>, ArtifactError> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let failed = |source| ArtifactError::SourceFolder { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let metadata = std::fs::metadata(&path)
                .map_err(|source| ArtifactError::SourceFolder { path: path.clone(), source })?;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if metadata.is_dir() && !is_hidden {
                if depth == MAX_DEPTH {
                    return Err(failed(std::io::Error::other("its folders are nested more than 16 deep")));
                }
                folders.push((path, depth + 1));
            } else if metadata.is_file() {
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn digest_file(path: &Path, cancellation: &Cancellation) -> Result<(u64, [u8; 32]), ArtifactError> {
    let failed = |source| ArtifactError::SourceFolder { path: path.to_owned(), source };
    let mut hasher = Sha256::new();
    let size = read_through(File::open(path).map_err(failed)?, cancellation, |bytes| hasher.update(bytes));
    let size = size.map_err(failed)?.ok_or(ArtifactError::Cancelled)?;
    Ok((size, hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_digest_follows_names_and_contents_alone() {
        let digest = async |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = folder.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            digest_folder(folder.path().to_owned()).await
        };
        let first = digest(&[("a", "1"), ("b/c", "2")]).await.unwrap();
        assert!(first.starts_with("sha256:") && first.len() == 71);
        assert_eq!(digest(&[("b/c", "2"), (".git/x", "3"), ("a", "1")]).await.unwrap(), first);
        for files in
            [&[("a", "1"), ("b/c", "3")][..], &[("a", "1"), ("b", "2")], &[("a", "1")], &[("a", "12")]]
        {
            assert_ne!(digest(files).await.unwrap(), first);
        }
        assert_eq!(digest(&[]).await.unwrap_err().reason(), "SourceUnreadable");
    }

    #[tokio::test]
    async fn a_folder_that_leads_into_itself_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        assert_eq!(digest_folder(folder.path().to_owned()).await.unwrap_err().reason(), "SourceUnreadable");
    }
}
