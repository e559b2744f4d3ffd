//! What is run, and where.

use std::path::PathBuf;

/// A file of a corpus that a program makes: its name and its contents.
pub type Seed = (&'static str, Vec<u8>);

/// A parser, what must be true of it, and the inputs that others are made of.
#[derive(Clone, Copy)]
pub struct Target {
    /// The folder of the corpus, below `tests/corpora` of the crate.
    pub corpus: &'static str,
    /// Gives bytes to the parser, panics where something is not as it must be, and says in a few words what became of
    /// the bytes. An input of which something new is said is what further ones are made of, so that errors of different
    /// steps lead deeper into a format.
    pub check: fn(&[u8]) -> String,
    /// The files of the corpus that are made by a program. Others may lie beside them.
    pub seeds: fn() -> Vec<Seed>,
    /// Files elsewhere that belong to the corpus too, from the crate's folder on.
    pub files: &'static [&'static str],
    /// Pieces that the format is made of.
    pub tokens: &'static [&'static [u8]],
    /// Makes a changed input whole again, its checksums for example. Half of the inputs go through it.
    pub repair: Option<fn(&mut [u8])>,
    /// The longest input that is made, in bytes.
    pub longest: usize,
    /// How many inputs a usual run makes.
    pub inputs: u64,
    /// What the parser may take of memory, in bytes.
    pub memory: u64,
}

impl Target {
    /// A target without files that a program makes, for inputs of a few kilobytes.
    #[must_use]
    pub const fn new(corpus: &'static str, check: fn(&[u8]) -> String) -> Self {
        Self {
            corpus,
            check,
            seeds: Vec::new,
            files: &[],
            tokens: &[],
            repair: None,
            longest: 4 << 10,
            inputs: 4_000,
            memory: 64 << 20,
        }
    }
}

/// A test, and the crate that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The crate's folder.
    pub folder: PathBuf,
    /// The test's name, as the test program knows it.
    pub test: String,
}

impl Place {
    /// The place of a function within a test, from the compiler's name of it.
    #[must_use]
    pub fn new(folder: &str, function: &str) -> Self {
        let within = function.split_once("::").map_or(function, |(_, within)| within);
        let test = within.rsplit_once("::").map_or(within, |(test, _)| test);
        Self { folder: PathBuf::from(folder), test: test.to_owned() }
    }
}
