//! Files of weights become what models compute with; their sizes are known before a byte of a tensor is read.

mod assembly;
mod cache;
#[cfg(test)]
mod candle;
pub mod header;
mod number_format;
mod packed;
pub mod pickle;
mod reading;
mod safetensors;

pub use assembly::{Source, assemble};
pub use cache::{BoxError, PackedCache, PackedError, PackedEvent, PackedPlace};
pub use number_format::NumberFormat;
pub use packed::Part;
pub use safetensors::{Purpose, Usage, Weights};
