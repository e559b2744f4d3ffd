//! Hashing of contents as they stream by: the digest that the Hub vouches for, and the fast checksum of later checks.

use std::hash::Hasher;
use std::io::Read;

use sha1::{Digest, Sha1};
use sha2::Sha256;
use twox_hash::XxHash3_64;

use crate::blob::{Blob, DigestKind};
use crate::blocking::Cancellation;

/// How much is read at once. It stays in a processor's own cache until it is hashed, and a call that reads no more is
/// over soon: within one, many systems take the processor from nobody, whoever else waits for it.
pub(crate) const BUFFER_BYTES: usize = 128 << 10;

enum Strong {
    Sha256(Sha256),
    GitBlob(Sha1),
}

/// Takes in a file's contents piece by piece.
pub(crate) struct BlobHasher {
    strong: Strong,
    fast: XxHash3_64,
}

/// What a file's contents came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    /// In lower-case hexadecimal, of the kind that was asked for.
    pub(crate) digest: String,
    /// XXH3, 64 bits, seed 0.
    pub(crate) fast: u64,
}

impl BlobHasher {
    /// A hasher for contents that should be `blob`.
    pub(crate) fn new(blob: &Blob) -> Self {
        let strong = match blob.kind() {
            DigestKind::Sha256 => Strong::Sha256(Sha256::new()),
            DigestKind::GitBlob => Strong::GitBlob(Sha1::new_with_prefix(format!("blob {}\0", blob.size()))),
        };
        Self { strong, fast: XxHash3_64::new() }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.strong {
            Strong::Sha256(hasher) => hasher.update(bytes),
            Strong::GitBlob(hasher) => hasher.update(bytes),
        }
        self.fast.write(bytes);
    }

    pub(crate) fn finish(self) -> Digests {
        let digest = match self.strong {
            Strong::Sha256(hasher) => hex::encode(hasher.finalize()),
            Strong::GitBlob(hasher) => hex::encode(hasher.finalize()),
        };
        Digests { digest, fast: self.fast.finish() }
    }
}

/// Reads to the end and passes each piece on; the number of bytes, or nothing where the work was cancelled.
pub(crate) fn read_through(
    mut reader: impl Read,
    cancellation: &Cancellation,
    mut take: impl FnMut(&[u8]),
) -> std::io::Result<Option<u64>> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut length = 0;
    loop {
        if cancellation.is_cancelled() {
            return Ok(None);
        }
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Some(length)),
            Ok(read) => {
                take(&buffer[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digests(blob: &Blob, pieces: &[&[u8]]) -> Digests {
        let mut hasher = BlobHasher::new(blob);
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }

    #[test]
    fn digests_are_the_hubs() {
        // `printf 'hello\n' | git hash-object --stdin`, and `sha256sum` of the same.
        let git = Blob::named("ce013625030ba8dba906f756967f9e9ca394464a", 6).unwrap();
        assert_eq!(digests(&git, &[b"hello\n"]).digest, git.name());
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let large = Blob::named(sha256, 6).unwrap();
        assert_eq!(digests(&large, &[b"hello\n"]).digest, sha256);
        // The published XXH3 of no bytes with seed 0 (xxHash's test vectors).
        assert_eq!(digests(&large, &[]).fast, 0x2D06_8005_38D3_94C2);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0_usize..2000) {
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let blob = Blob::named(&"a".repeat(64), bytes.len() as u64).unwrap();
            prop_assert_eq!(digests(&blob, &[head, tail]), digests(&blob, &[&bytes]));
        }
    }
}
