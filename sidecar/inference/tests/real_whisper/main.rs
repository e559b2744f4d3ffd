//! OpenAI's own weights on real speech.
//!
//! The weights are fetched into the cache on the first run (`tests/real-models/fetch.sh`); `OSTLER_REAL_MODELS` names
//! a folder that has them already. Where there is neither, these tests fail.

#![expect(clippy::expect_used, reason = "a test that fails is to stop")]

#[path = "../speech/mod.rs"]
mod speech;

mod accuracy;
mod answers;
mod edits;
mod long_form;
mod recordings;
