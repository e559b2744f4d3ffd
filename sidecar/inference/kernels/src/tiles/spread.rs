//! How the rows of a product are spread over tiles.

use std::ops::Range;

use super::TILE_ROWS;

/// Tiles of one height, so that registers are configured once for a whole product. Where rows do not fill them, later tiles
/// begin with rows that were computed before: those are computed again, to the same sums, and not written again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    rows: usize,
    /// How many tiles there are: one, or pairs of them.
    tiles: usize,
    /// Rows of each tile.
    pub(super) height: usize,
}

impl Spread {
    /// Of at least one row.
    pub(super) fn of(rows: usize) -> Self {
        let tiles = if rows <= TILE_ROWS { 1 } else { 2 * rows.div_ceil(2 * TILE_ROWS) };
        Self { rows, tiles, height: rows.div_ceil(tiles) }
    }

    /// Whether two tiles are computed at once.
    pub(super) fn is_paired(&self) -> bool {
        self.tiles > 1
    }

    /// Those of which every other one, or the only one, is the first of a pair.
    pub(super) fn firsts(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.tiles).step_by(2)
    }

    /// The first row of a tile.
    #[inline(always)]
    pub(super) fn start(&self, tile: usize) -> usize {
        (tile * self.height).min(self.rows - self.height)
    }

    /// Those rows of a tile, counted from its first, that no tile before it has.
    #[inline(always)]
    pub(super) fn fresh(&self, tile: usize) -> Range<usize> {
        (tile * self.height - self.start(tile)).min(self.height)..self.height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_written_once_and_few_are_computed_again() {
        for rows in 1..1000 {
            let spread = Spread::of(rows);
            assert!(spread.height <= TILE_ROWS);
            let mut next = 0;
            for tile in spread.firsts().flat_map(|first| first..first + 1 + usize::from(spread.is_paired())) {
                let start = spread.start(tile);
                assert!(start + spread.height <= rows, "{rows} {tile}");
                for row in spread.fresh(tile) {
                    assert_eq!(start + row, next, "{rows} {tile}");
                    next += 1;
                }
            }
            assert_eq!(next, rows);
            assert!(spread.tiles * spread.height < rows + spread.tiles, "{rows}");
        }
    }
}
