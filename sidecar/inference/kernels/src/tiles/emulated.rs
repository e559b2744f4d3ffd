//! Tiles in plain Rust, as Intel's manual defines the instructions, for tests. What the manual does not allow panics.

use std::ops::Range;

use super::{Configuration, TILE_ROW_BYTES, TILE_ROWS, TILES, Tiles};

type Tile = [[u8; TILE_ROW_BYTES]; TILE_ROWS];

/// The registers of a thread, and what may be read into them.
pub(super) struct Emulated {
    configuration: Option<Configuration>,
    tiles: [Tile; TILES],
    /// Addresses.
    readable: Vec<Range<usize>>,
}

impl Emulated {
    /// Registers that are loaded only from these.
    pub(super) fn new(readable: &[&[u8]]) -> Self {
        let readable = readable.iter().map(|bytes| bytes.as_ptr_range());
        let readable = readable.map(|range| range.start as usize..range.end as usize).collect();
        Self { configuration: None, tiles: [[[0; TILE_ROW_BYTES]; TILE_ROWS]; TILES], readable }
    }

    /// Whether the registers have shapes at present.
    pub(super) fn is_configured(&self) -> bool {
        self.configuration.is_some()
    }

    fn shape(&self, tile: usize) -> (usize, usize) {
        self.configuration.expect("registers have shapes").shape(tile)
    }

    /// Rows of sums, steps, and columns of a product whose shapes have to fit.
    fn product(&self, sums: usize, rows: usize, columns: usize) -> (usize, usize, usize) {
        assert!(sums != rows && sums != columns && rows != columns, "three registers");
        let [sums, rows, columns] = [sums, rows, columns].map(|tile| self.shape(tile));
        assert_eq!(
            (sums.0, sums.1),
            (rows.0, columns.1),
            "sums have the rows of one and the columns of the other"
        );
        assert_eq!(rows.1, columns.0 * 4, "as many steps in each");
        (sums.0, columns.0, columns.1 / 4)
    }

    fn dword(&self, tile: usize, row: usize, at: usize) -> [u8; 4] {
        self.tiles[tile][row].as_chunks::<4>().0[at]
    }

    fn set_dword(&mut self, tile: usize, row: usize, at: usize, value: [u8; 4]) {
        self.tiles[tile][row].as_chunks_mut::<4>().0[at] = value;
    }
}

/// Denormals are zero, as operands and as results, whatever MXCSR says.
fn flush(number: f32) -> f32 {
    if number.is_subnormal() { 0f32.copysign(number) } else { number }
}

/// The bfloat16 of a pair of them.
fn halves(pair: [u8; 4]) -> [f32; 2] {
    let of = |low, high| flush(f32::from_le_bytes([0, 0, low, high]));
    [of(pair[0], pair[1]), of(pair[2], pair[3])]
}

impl Tiles for Emulated {
    unsafe fn configure(&mut self, configuration: &Configuration) {
        self.configuration = Some(*configuration);
        self.tiles = [[[0; TILE_ROW_BYTES]; TILE_ROWS]; TILES];
    }

    unsafe fn zero<const TILE: usize>(&mut self) {
        self.shape(TILE);
        self.tiles[TILE] = [[0; TILE_ROW_BYTES]; TILE_ROWS];
    }

    unsafe fn load<const TILE: usize>(&mut self, from: *const u8, stride: usize) {
        let (rows, row_bytes) = self.shape(TILE);
        self.tiles[TILE] = [[0; TILE_ROW_BYTES]; TILE_ROWS];
        for row in 0..rows {
            let from = from.wrapping_add(row * stride);
            let read = from as usize..from as usize + row_bytes;
            let may_read = |range: &Range<usize>| range.start <= read.start && read.end <= range.end;
            assert!(self.readable.iter().any(may_read), "row {row} of {row_bytes} bytes lies outside");
            // SAFETY: it lies within what a test has made readable.
            unsafe { std::ptr::copy_nonoverlapping(from, self.tiles[TILE][row].as_mut_ptr(), row_bytes) }
        }
    }

    unsafe fn multiply_bytes<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&mut self) {
        let (rows, steps, columns) = self.product(SUMS, ROWS, COLUMNS);
        for row in 0..rows {
            for step in 0..steps {
                let left = self.dword(ROWS, row, step);
                for column in 0..columns {
                    let right = self.dword(COLUMNS, step, column);
                    let mut sum = i32::from_le_bytes(self.dword(SUMS, row, column));
                    for (left, right) in left.into_iter().zip(right) {
                        sum = sum.wrapping_add(i32::from(left) * i32::from(right.cast_signed()));
                    }
                    self.set_dword(SUMS, row, column, sum.to_le_bytes());
                }
            }
        }
    }

    unsafe fn multiply_bfloat16<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&mut self) {
        let (rows, steps, columns) = self.product(SUMS, ROWS, COLUMNS);
        for row in 0..rows {
            for column in 0..columns {
                // The first numbers of all pairs and the second ones have a sum each, until the end.
                let mut sums = [0f32; 2];
                for step in 0..steps {
                    let left = halves(self.dword(ROWS, row, step));
                    let right = halves(self.dword(COLUMNS, step, column));
                    for (sum, (left, right)) in sums.iter_mut().zip(left.into_iter().zip(right)) {
                        *sum = flush(left.mul_add(right, *sum));
                    }
                }
                let before = flush(f32::from_le_bytes(self.dword(SUMS, row, column)));
                let after = flush(before + flush(sums[0] + sums[1]));
                self.set_dword(SUMS, row, column, after.to_le_bytes());
            }
        }
    }

    unsafe fn store<const TILE: usize>(&mut self, to: *mut u8, stride: usize) {
        let (rows, row_bytes) = self.shape(TILE);
        for row in 0..rows {
            // SAFETY: the caller's promise.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    self.tiles[TILE][row].as_ptr(),
                    to.add(row * stride),
                    row_bytes,
                );
            }
        }
    }

    unsafe fn release(&mut self) {
        self.configuration = None;
    }
}
