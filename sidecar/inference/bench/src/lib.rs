//! `make bench`: Ostler's models against their peers, and against the floor that the processor sets.
//!
//! Every contender, Ostler among them, is a process of its own that speaks [`protocol`] on its standard streams: it
//! loads a model once and then answers one repetition at a time, so that all of them take turns on the same inputs
//! in the same run. What a result means ([`agreement`], [`floor`], [`report`]) is a pure function of the answers.

pub mod agreement;
pub mod args;
pub mod contender;
pub mod document;
pub mod floor;
pub mod inputs;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod peaks;
pub mod process;
pub mod protocol;
pub mod report;
pub mod rows;
pub mod run;
pub mod shapes;
pub mod statistics;
pub mod verdict;
pub mod worker;
