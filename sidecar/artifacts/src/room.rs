//! How much room a cache has: that of its disk, and where it has a limit of its own, what is left under that.

use std::path::Path;

use crate::error::ArtifactError;
use crate::inventory::extent;

/// The room for a cache, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// All that there is, in use or not.
    pub(crate) total_bytes: u64,
    /// What may still be written.
    pub(crate) free_bytes: u64,
    /// What is there beyond the limit.
    pub(crate) excess_bytes: u64,
}

impl Room {
    /// Measures it. With a limit the whole folder is added up, as the kubelet does it.
    pub(crate) fn measure(root: &Path, limit_bytes: Option<u64>) -> Result<Self, ArtifactError> {
        let status = rustix::fs::statvfs(root)
            .map_err(|errno| ArtifactError::of_storage("measure the free space of", root, errno.into()))?;
        let disk = Self {
            total_bytes: status.f_blocks.saturating_mul(status.f_frsize),
            free_bytes: status.f_bavail.saturating_mul(status.f_frsize),
            excess_bytes: 0,
        };
        Ok(match limit_bytes {
            Some(limit_bytes) => disk.within(limit_bytes, extent(root).0),
            None => disk,
        })
    }

    /// How many bytes must go so that `bytes` are free.
    pub(crate) fn lacking(&self, bytes: u64) -> u64 {
        bytes.saturating_add(self.excess_bytes).saturating_sub(self.free_bytes)
    }

    /// So many percent of all that there is.
    pub(crate) fn part(&self, percent: u8) -> u64 {
        (u128::from(self.total_bytes) * u128::from(percent.min(100)) / 100) as u64
    }

    /// The room of a cache that may take so many bytes of the disk, and takes `used_bytes` now.
    fn within(self, limit_bytes: u64, used_bytes: u64) -> Self {
        Self {
            total_bytes: self.total_bytes.min(limit_bytes),
            free_bytes: self.free_bytes.min(limit_bytes.saturating_sub(used_bytes)),
            excess_bytes: used_bytes.saturating_sub(limit_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_of_disk_and_limit_counts() {
        let room = |total_bytes, free_bytes, excess_bytes| Room { total_bytes, free_bytes, excess_bytes };
        let disk = room(1000, 300, 0);
        // The limit, what is used, what there is, and what must go so that a tenth is free.
        let table = [
            (500, 100, room(500, 300, 0), 0),
            (500, 450, room(500, 50, 0), 0),
            (500, 480, room(500, 20, 0), 30),
            (500, 600, room(500, 0, 100), 150),
            (5000, 600, disk, 0),
        ];
        for (limit, used, expected, lacking) in table {
            let room = disk.within(limit, used);
            assert_eq!((room, room.lacking(room.part(10))), (expected, lacking));
        }
        assert_eq!(room(u64::MAX, 0, 0).part(100), u64::MAX);
    }

    #[test]
    fn what_the_folder_holds_counts_towards_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let before = Room::measure(folder.path(), Some(1 << 20)).unwrap().free_bytes;
        std::fs::write(folder.path().join("a"), vec![1; 300_000]).unwrap();
        let after = Room::measure(folder.path(), Some(1 << 20)).unwrap();
        assert_eq!(after.total_bytes, 1 << 20);
        assert!(before - after.free_bytes >= 300_000, "{before} {after:?}");
    }
}
