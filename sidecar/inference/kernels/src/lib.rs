//! What the models of Ostler compute with on a processor: linear layers with packed weights in three formats,
//! attention, and operations on rows, for whatever vector instructions are there.
//!
//! Everything here takes and gives plain slices and checks their sizes; what is unsafe stays inside. [`Kernels`] are
//! chosen once, by [`Kernels::best`] or by name; a [`Team`] of threads shares the work of a job.
//!
//! A row's result depends on that row alone: not on the rows beside it, the number of threads, or which of them
//! computed it. `tests` hold that bit for bit.

mod activation;
mod aligned;
mod arena;
mod attention;
mod columns;
mod format;
mod inputs;
mod instructions;
mod linear;
mod memory;
mod operations;
mod pack;
pub mod peak;
mod product;
mod row;
mod table;
mod team;
#[cfg(any(test, target_arch = "x86_64"))]
mod tiles;
mod vector;

pub use activation::Activation;
pub use aligned::{Aligned, Number, Numbers};
pub use arena::Arena;
pub use attention::{AttentionScratch, Context, KeyValues, Rows};
pub use format::Format;
pub use inputs::{Frames, FramesMut, InputRow, Inputs};
pub use instructions::{ALL as ALL_INSTRUCTIONS, Instructions, InstructionsError};
pub use linear::{Linear, LinearBuilder, LinearShape, MAX_INPUTS, RowBlock, Write};
pub use operations::LayerNorm;
pub use table::Kernels;
pub use team::{Lanes, Team, stay_behind_jobs};
