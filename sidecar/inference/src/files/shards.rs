//! Weights in several files, with an index that says which tensor is where.

use crate::error::LoadError;

/// How the files of one format are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shards {
    /// The file that lists them.
    pub(crate) index: &'static str,
    stem: &'static str,
    extension: &'static str,
}

/// `model-00001-of-00002.safetensors`.
pub(crate) const SAFETENSORS: Shards =
    Shards { index: "model.safetensors.index.json", stem: "model-", extension: ".safetensors" };

/// `pytorch_model-00001-of-00002.bin`.
pub(crate) const PICKLES: Shards =
    Shards { index: "pytorch_model.bin.index.json", stem: "pytorch_model-", extension: ".bin" };

/// The most shards of one model.
const MAX_SHARDS: u32 = 512;

impl Shards {
    /// Whether the name is that of a shard, and so safe to join to a folder.
    pub(crate) fn is_one(&self, name: &str) -> bool {
        self.number(name).is_some()
    }

    /// The shards of a listing of names, all of the count that they claim.
    pub(super) fn all<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Vec<String>, LoadError> {
        let present: Vec<(u32, u32)> = names.filter_map(|name| self.number(name)).collect();
        let missing = |file: String| {
            let reason = format!("the repository has {}, so every shard must be there", self.index);
            LoadError::MissingFile { file, reason }
        };
        let Self { stem, extension, .. } = self;
        let Some(count) = present.iter().map(|(_, count)| *count).max() else {
            return Err(missing(format!("{stem}00001-of-NNNNN{extension}")));
        };
        if count > MAX_SHARDS {
            let message = format!("the shards claim to be {count}, at most {MAX_SHARDS} are read");
            return Err(LoadError::corrupted(self.index, message));
        }
        (1..=count)
            .map(|number| {
                let name = format!("{stem}{number:05}-of-{count:05}{extension}");
                if present.contains(&(number, count)) { Ok(name) } else { Err(missing(name)) }
            })
            .collect()
    }

    /// Number and count in a shard's name.
    fn number(&self, name: &str) -> Option<(u32, u32)> {
        let numbers = name.strip_prefix(self.stem)?.strip_suffix(self.extension)?;
        let (number, count) = numbers.split_once("-of-")?;
        let parse = |digits: &str| {
            let are_digits = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
            are_digits.then(|| digits.parse().ok()).flatten()
        };
        Some((parse(number)?, parse(count)?))
    }
}
