//! Files of weights become tensors; their sizes are known before a byte of a tensor is read.

pub mod header;
mod number_format;
mod packed;
pub mod pickle;
mod safetensors;

pub use number_format::NumberFormat;
pub use packed::Part;
pub use safetensors::{Purpose, Usage, Weights};
