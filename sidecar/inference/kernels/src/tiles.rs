//! Products of tiles: Intel's matrix extensions (AMX).
//!
//! A tile register holds up to 16 rows of 64 bytes. One instruction multiplies a tile of rows with a tile of columns and adds
//! to a tile of 16 x 16 sums what 512 instructions on vectors would. Packed panels are already as the instruction wants its
//! columns: a step is 4 bytes of each of [`PANEL`](crate::product::PANEL) columns, so that 16 steps are two tiles side by
//! side, with rows of 64 bytes that lie [`STEP_BYTES`](crate::product::STEP_BYTES) apart.
//!
//! The loop in [`product`] takes all steps of a panel 16 at a time and what is left of them at last, in the same order for
//! every row, however many rows there are: a row's result never depends on the rows beside it. That is why products of
//! bfloat16 go by tiles even for a single row, since tiles add up in another order than vectors do. Sums of bytes are exact in
//! every order, so that one or two rows of them, which wait for memory and not for sums, are left to vectors.
//!
//! **The instructions themselves have not been run yet on a processor that has them.** The loop is generic over [`Tiles`], and
//! the tests run all of it on tiles in plain Rust that follow the manual to the letter; on a processor with AMX the same
//! tests, and all others of this crate, run with the instructions.
//!
//! Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1 chapter "Programming with Intel Advanced
//! Matrix Extensions" and volume 2 (LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TILERELEASE, TDPBUSD, TDPBF16PS).

mod block;
mod configuration;
mod multiply;
mod product;
mod spread;

#[cfg(target_arch = "x86_64")]
mod burst;
#[cfg(target_arch = "x86_64")]
mod hardware;
#[cfg(target_arch = "x86_64")]
mod support;

#[cfg(test)]
mod emulated;
#[cfg(test)]
mod tests;

pub(crate) use self::configuration::Configuration;
pub(crate) use self::product::compute;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::burst::burst;
#[cfg(target_arch = "x86_64")]
pub(crate) use self::hardware::Hardware;
pub(crate) use self::multiply::{Bfloat16, Bytes, Multiply};
#[cfg(target_arch = "x86_64")]
pub(crate) use self::support::is_supported;

/// Tile registers.
pub(crate) const TILES: usize = 8;
/// The most rows of a tile.
pub(crate) const TILE_ROWS: usize = 16;
/// The most bytes of a row of a tile.
pub(crate) const TILE_ROW_BYTES: usize = 64;
/// The most steps of a tile: 4 bytes of each row, or a row of columns, is one.
pub(crate) const TILE_STEPS: usize = TILE_ROW_BYTES / 4;

/// The tile registers of a thread and what can be done with them. Registers are named by their number.
///
/// # Safety
/// The processor has the instructions. Between [`Tiles::configure`] and [`Tiles::release`] nothing else uses the registers
/// of the thread, and nothing but these two comes outside. Operands are configured to shapes that fit each other, are not
/// the same register, and what a load reads or a store writes is there: as many rows as the tile has, of as many bytes, each
/// `stride` bytes behind the one before. None needs alignment.
pub(crate) trait Tiles {
    /// Gives every register its shape, and fills all of them with zeros.
    unsafe fn configure(&mut self, configuration: &Configuration);
    /// Fills a register with zeros.
    unsafe fn zero<const TILE: usize>(&mut self);
    /// Loads a register.
    unsafe fn load<const TILE: usize>(&mut self, from: *const u8, stride: usize);
    /// Adds products of unsigned bytes of rows with signed bytes of columns to sums in int32.
    unsafe fn multiply_bytes<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&mut self);
    /// Adds products of bfloat16 of rows with those of columns to sums in float32.
    unsafe fn multiply_bfloat16<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&mut self);
    /// Stores a register.
    unsafe fn store<const TILE: usize>(&mut self, to: *mut u8, stride: usize);
    /// Lets go of all registers, so that the system need not keep 8 KiB at every switch of threads.
    unsafe fn release(&mut self);
}
