//! Runs a parser over its corpus and over changed copies of it, in a process with limits.
//!
//! A [`Target`] is a parser with what must be true of whatever it makes of any bytes, and a corpus of committed files.
//! [`run!`] in a test gives it every file of the corpus, and then inputs that are made of them. They follow from a fixed
//! number, so that a usual run of the tests is always the same one:
//!
//! | variable | what it does |
//! |---|---|
//! | `OSTLER_FUZZ_SECONDS` | go on for so long, from another number each time |
//! | `OSTLER_FUZZ_SEED` | begin from this number |
//! | `OSTLER_FUZZ_WRITE` | write the files of the corpora that programs make |
//!
//! It happens in a child process, so that a stack that overflows or an allocation of a terabyte ends that alone, and the
//! input that did it is told. Where the crate is built by `cargo bolero test`, the engine that was asked for gives the
//! inputs instead.

mod child;
mod corpus;
mod error;
mod mutation;
mod outcomes;
mod session;
mod target;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use bolero;

pub use child::supervise;
pub use error::FuzzError;
pub use target::{Place, Seed, Target};

/// Runs a [`Target`]. The test that it stands in must do nothing else.
///
/// # Panics
/// Where the corpus is not what its seeds say, or an input shows a fault of the parser.
#[macro_export]
macro_rules! run {
    ($target:expr) => {
        $crate::run_inputs!($target)
    };
}

/// Where the test is that it stands in.
#[doc(hidden)]
#[macro_export]
macro_rules! here {
    () => {{
        fn here() {}
        $crate::Place::new(env!("CARGO_MANIFEST_DIR"), ::std::any::type_name_of_val(&here))
    }};
}

#[doc(hidden)]
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! run_inputs {
    ($target:expr) => {
        match $crate::supervise(&$target, &$crate::here!()) {
            Ok(report) => println!("{report}"),
            Err(error) => panic!("{error}"),
        }
    };
}

#[doc(hidden)]
#[cfg(fuzzing)]
#[macro_export]
macro_rules! run_inputs {
    ($target:expr) => {{
        let check = $target.check;
        $crate::bolero::check!().for_each(move |bytes: &[u8]| drop(check(bytes)))
    }};
}

#[cfg(test)]
mod tests;
