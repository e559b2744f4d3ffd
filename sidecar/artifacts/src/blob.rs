//! What a file's contents must be, the name that the cache gives them, and what may be there of them.

use ostler_hub::RepositoryFile;

/// How the Hub vouches for a file's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DigestKind {
    /// SHA-256 of the contents, for files in Large File Storage.
    Sha256,
    /// git's blob id: SHA-1 of `blob LENGTH\0` and the contents, for all others.
    GitBlob,
}

/// The contents of a file as the Hub lists them. The digest is the contents' name in the cache, as it is their ETag
/// at the Hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Blob {
    kind: DigestKind,
    digest: String,
    size: u64,
}

impl Blob {
    /// The contents of a listed file; nothing where a digest is not hexadecimal, and so no safe name.
    pub(crate) fn of(file: &RepositoryFile) -> Option<Self> {
        Self::named(file.sha256.as_ref().unwrap_or(&file.blob_id), file.size)
    }

    /// The contents with a digest: 64 hexadecimal digits for SHA-256, 40 for git's blob id.
    pub(crate) fn named(digest: &str, size: u64) -> Option<Self> {
        let is_hexadecimal =
            digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let kind = match digest.len() {
            64 if is_hexadecimal => DigestKind::Sha256,
            40 if is_hexadecimal => DigestKind::GitBlob,
            _ => return None,
        };
        Some(Self { kind, digest: digest.to_owned(), size })
    }

    /// The name in `blobs/`.
    pub(crate) fn name(&self) -> &str {
        &self.digest
    }

    pub(crate) fn kind(&self) -> DigestKind {
        self.kind
    }

    /// The length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// One listed file with the contents that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) blob: Blob,
}

/// What is on disk of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nothing under its final name; so many bytes of a transfer.
    Missing {
        /// The length of the partial file.
        partial_bytes: u64,
    },
    /// Something under its final name that is not what it should be.
    Corrupt,
    /// The very contents.
    Verified,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_are_names() {
        assert_eq!(Blob::named(&"a".repeat(64), 1).unwrap().kind(), DigestKind::Sha256);
        assert_eq!(Blob::named(&"a".repeat(40), 1).unwrap().kind(), DigestKind::GitBlob);
        for digest in ["", "../../../etc/passwd", &"A".repeat(40), &"g".repeat(64), &"a".repeat(41)] {
            assert!(Blob::named(digest, 1).is_none(), "{digest}");
        }
    }
}
