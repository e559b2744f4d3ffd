//! What shapes the tile registers have.

use super::{TILE_ROW_BYTES, TILE_ROWS, TILE_STEPS, TILES};

/// Sums of the first rows with the first and with the second half of a panel's columns.
pub(super) const UPPER_SUMS: [usize; 2] = [0, 1];
/// Sums of the second rows, likewise.
pub(super) const LOWER_SUMS: [usize; 2] = [2, 3];

/// The operand of LDTILECFG, in its only palette: eight registers of up to 16 rows of up to 64 bytes.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// Palette 1; palette 0 is none.
    palette: u8,
    /// Where an interrupted load goes on; 0 for those that begin.
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each register; there is space for 16 registers.
    row_bytes: [u16; 16],
    /// Rows of each register, likewise.
    rows: [u8; 16],
}

const _: () = assert!(size_of::<Configuration>() == 64);

impl Configuration {
    /// Sums are rows of 16 columns. Of the other four registers two hold rows and two hold columns of whole tiles of steps;
    /// where steps are left over, one of each is for whole tiles and one of each for what is left.
    pub(super) fn of(height: usize, steps: usize) -> Self {
        let rest = steps % TILE_STEPS;
        let sums = (height, TILE_ROW_BYTES);
        let rows = (height, TILE_ROW_BYTES);
        let columns = (TILE_STEPS, TILE_ROW_BYTES);
        let others = if rest == 0 {
            [rows, rows, columns, columns]
        } else {
            [rows, columns, (height, rest * 4), (rest, TILE_ROW_BYTES)]
        };
        Self::of_shapes([sums, sums, sums, sums, others[0], others[1], others[2], others[3]])
    }

    /// Rows, and bytes of each, of every register.
    pub(super) fn of_shapes(shapes: [(usize, usize); TILES]) -> Self {
        let mut configuration =
            Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for (register, (rows, row_bytes)) in shapes.into_iter().enumerate() {
            debug_assert!((1..=TILE_ROWS).contains(&rows) && (1..=TILE_ROW_BYTES).contains(&row_bytes));
            configuration.rows[register] = rows as u8;
            configuration.row_bytes[register] = row_bytes as u16;
        }
        configuration
    }

    /// Every register as large as it can be.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn largest() -> Self {
        Self::of_shapes([(TILE_ROWS, TILE_ROW_BYTES); TILES])
    }

    /// Rows, and bytes of each, of a register.
    #[cfg(test)]
    pub(super) fn shape(&self, register: usize) -> (usize, usize) {
        (self.rows[register].into(), self.row_bytes[register].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_where_the_manual_has_them() {
        let configuration = Configuration::of(9, 16 + 5);
        // SAFETY: it is 64 bytes without gaps.
        let bytes = unsafe { std::mem::transmute::<Configuration, [u8; 64]>(configuration) };
        let mut expected = [0; 64];
        expected[0] = 1;
        for (register, row_bytes) in [64, 64, 64, 64, 64, 64, 20, 64].into_iter().enumerate() {
            expected[16 + 2 * register] = row_bytes;
        }
        expected[48..56].copy_from_slice(&[9, 9, 9, 9, 9, 16, 9, 5]);
        assert_eq!(bytes, expected);
        assert_eq!(Configuration::of(9, 32).shape(5), (9, 64));
        assert_eq!(Configuration::of(9, 32).shape(6), (16, 64));
    }
}
