//! The product of rows with packed columns: one tile loop for every format and instruction set, but for those that have tiles
//! of their own ([`crate::tiles`]).
//!
//! Columns lie in panels of [`PANEL`]. A panel holds, for each step, 4 bytes of each of its columns; a row holds 4
//! bytes for each step. A tile keeps its sums in registers: up to [`Dot::ROWS`] rows times two vectors of columns,
//! or, where there are fewer rows, the same of several panels, so that enough sums are in flight to hide the latency
//! of the instruction. **Whatever the shape of a tile, each sum is made step by step in the same order**, so that a
//! row's result does not depend on the rows beside it.

use crate::vector::{Dot, Vector};

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;
/// Bytes of a step of a panel.
pub(crate) const STEP_BYTES: usize = PANEL * 4;

/// Up to so many rows a product is bound by memory: hardware alone fetches too late for it.
pub(crate) const FEW_ROWS: usize = 2;
/// How many steps ahead of the products of few rows memory is asked for: 8 KiB. With half of that, a decoder's weights came
/// a tenth slower on Zen 4.
const PREFETCH_STEPS: usize = 64;
/// What memory is asked for in.
const LINE_BYTES: usize = 64;

/// What to multiply and where to put it. All pointers are borrowed for the time of the call.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    /// How many rows.
    pub(crate) rows: usize,
    /// The first row; each has `steps` times 4 bytes.
    pub(crate) row_data: *const u8,
    /// From a row to the next, in bytes.
    pub(crate) row_stride: usize,
    /// For bytes: each row's scale and zero. Null for other formats.
    pub(crate) row_scales: *const f32,
    pub(crate) row_zeros: *const i32,
    /// The packed panels, from panel 0 on.
    pub(crate) panels: *const u8,
    /// Steps of a panel.
    pub(crate) steps: usize,
    /// The panels to compute.
    pub(crate) first_panel: usize,
    pub(crate) end_panel: usize,
    /// How many columns there are in all; the last panel may be partly filled.
    pub(crate) columns: usize,
    /// For bytes: each column's scale and total, of whole panels. Null for other formats.
    pub(crate) column_scales: *const f32,
    pub(crate) column_totals: *const i32,
    /// Each column's bias, of whole panels, or null.
    pub(crate) bias: *const f32,
    /// Row 0, column 0 of the result.
    pub(crate) out: *mut f32,
    /// From a row of the result to the next, in numbers.
    pub(crate) out_stride: usize,
    /// Add to what is there instead of replacing it.
    pub(crate) accumulate: bool,
    /// What the thread reads next, or null: a product of few rows asks for its beginning while it ends.
    pub(crate) next: *const u8,
}

impl Product {
    /// No rows, no columns, no result.
    pub(crate) const EMPTY: Self = Self {
        rows: 0,
        row_data: std::ptr::null(),
        row_stride: 0,
        row_scales: std::ptr::null(),
        row_zeros: std::ptr::null(),
        panels: std::ptr::null(),
        steps: 0,
        first_panel: 0,
        end_panel: 0,
        columns: 0,
        column_scales: std::ptr::null(),
        column_totals: std::ptr::null(),
        bias: std::ptr::null(),
        out: std::ptr::null_mut(),
        out_stride: 0,
        accumulate: false,
        next: std::ptr::null(),
    };
}

/// Computes a product.
///
/// # Safety
/// The processor has the instructions of `D`, and the pointers lead to as much as their descriptions say.
#[inline(always)]
pub(crate) unsafe fn compute<D: Dot>(product: &Product) {
    // A copy that nothing points to: what is written to the result cannot change it, so that it stays in registers.
    let product = &{ *product };
    let tallest = tallest_tile(product.rows, D::ROWS);
    let mut panel = product.first_panel;
    while panel < product.end_panel {
        let panels = panels_at_once(tallest).min(product.end_panel - panel);
        let mut row = 0;
        while row < product.rows {
            let rows = tallest.min(product.rows - row);
            let ahead = Ahead::of(product, panel + panels, row / tallest, product.rows.div_ceil(tallest));
            // SAFETY: rows and panels lie within the product.
            unsafe { tile_of::<D>(product, row, rows, panel, panels, ahead) };
            row += rows;
        }
        panel += panels;
    }
}

/// Memory that will be read after a tile: two lines for each of its steps, `stride` behind those of the step before.
/// It is asked for and not read, and need not be there.
#[derive(Clone, Copy)]
struct Ahead {
    lines: [*const u8; 2],
    stride: usize,
}

impl Ahead {
    /// The part of the next panel that the tile `tile` of `tiles` of a panel asks for: the only one all of it, the first
    /// two of several a half each. Later ones ask for a line that is there, which costs nothing.
    fn of(product: &Product, next_panel: usize, tile: usize, tiles: usize) -> Self {
        let panel_bytes = product.steps * STEP_BYTES;
        let at = |bytes| product.panels.wrapping_add(next_panel * panel_bytes + bytes);
        match tile {
            0 if tiles == 1 => Self { lines: [at(0), at(LINE_BYTES)], stride: STEP_BYTES },
            0 => Self { lines: [at(0); 2], stride: LINE_BYTES },
            1 => Self { lines: [at(panel_bytes / 2); 2], stride: LINE_BYTES },
            _ => Self { lines: [at(0); 2], stride: 0 },
        }
    }
}

/// How a tile of few rows asks for memory: so many bytes ahead of where it reads, which leads on into the panels behind its
/// own, as they lie one after another, up to the end of those to compute; what is there may be another thread's. From there
/// on it asks for what is read next. In the steps before `within` the first of the distances holds, then the second.
struct Reach {
    within: usize,
    distances: [usize; 2],
}

impl Reach {
    fn of(product: &Product, panel: usize) -> Self {
        let rest = (product.end_panel - panel) * product.steps;
        let end = product.panels.wrapping_add(product.end_panel * product.steps * STEP_BYTES);
        let ahead = PREFETCH_STEPS * STEP_BYTES;
        let beyond = if product.next.is_null() {
            // Lines that are there, which costs nothing.
            0
        } else {
            (product.next as usize).wrapping_sub(end as usize).wrapping_add(ahead)
        };
        Self { within: rest.saturating_sub(PREFETCH_STEPS), distances: [ahead, beyond] }
    }
}

/// How many rows a tile takes: a remainder is spread evenly.
fn tallest_tile(rows: usize, most: usize) -> usize {
    if rows == 0 { 1 } else { rows.div_ceil(rows.div_ceil(most)) }
}

/// How many panels a tile of so many rows takes, so that about ten sums are in flight. One and two rows wait for memory and
/// not for sums: read one after the other, panels come a quarter faster than four side by side.
fn panels_at_once(rows: usize) -> usize {
    if rows == 3 { 2 } else { 1 }
}

/// # Safety
/// As [`compute`]; the rows and panels are the product's.
#[inline(always)]
unsafe fn tile_of<D: Dot>(
    product: &Product,
    row: usize,
    rows: usize,
    panel: usize,
    panels: usize,
    ahead: Ahead,
) {
    macro_rules! tiles {
        ($($rows:literal x $panels:literal),*) => {
            match (rows, panels) {
                // SAFETY: the caller's promise.
                $(($rows, $panels) => unsafe { tile::<D, $rows, $panels>(product, row, panel, ahead) },)*
                // Larger tiles than a set has registers for are never asked for.
                _ => unreachable!("a tile of {rows} rows and {panels} panels"),
            }
        };
    }
    if D::ROWS <= 4 {
        tiles!(1 x 1, 2 x 2, 2 x 1, 3 x 2, 3 x 1, 4 x 1)
    } else if D::ROWS <= 6 {
        tiles!(1 x 1, 2 x 2, 2 x 1, 3 x 2, 3 x 1, 4 x 1, 5 x 1, 6 x 1)
    } else {
        tiles!(
            1 x 1, 2 x 2, 2 x 1, 3 x 2, 3 x 1, 4 x 1, 5 x 1, 6 x 1, 7 x 1, 8 x 1, 9 x 1, 10 x 1, 11 x 1,
            12 x 1
        )
    }
}

/// # Safety
/// As [`compute`]; the rows and panels are the product's.
#[inline(always)]
unsafe fn tile<D: Dot, const ROWS: usize, const PANELS: usize>(
    product: &Product,
    row: usize,
    panel: usize,
    ahead: Ahead,
) {
    let vector_bytes = D::Vector::LANES * 4;
    let panel_bytes = product.steps * STEP_BYTES;
    let reach = Reach::of(product, panel);
    let mut pass = 0;
    while pass < STEP_BYTES {
        // SAFETY: `steps` times 4 bytes of each row and `steps` times STEP_BYTES of each panel are there.
        unsafe {
            let rows = product.row_data.add(row * product.row_stride);
            let columns = product.panels.add(panel * panel_bytes + pass);
            let mut sums = [[[D::zero(); 2]; PANELS]; ROWS];
            for step in 0..product.steps {
                let distance = reach.distances[usize::from(step >= reach.within)];
                for part in 0..PANELS {
                    let columns = columns.add(part * panel_bytes + step * STEP_BYTES);
                    if ROWS <= FEW_ROWS {
                        D::prefetch(columns.wrapping_add(distance));
                        D::prefetch(columns.wrapping_add(distance + vector_bytes));
                    }
                    if ROWS > FEW_ROWS && part == 0 && pass == 0 {
                        // While a panel's tiles compute, the next panel is on its way.
                        for line in ahead.lines {
                            D::prefetch_far(line.wrapping_add(step * ahead.stride));
                        }
                    }
                    for (index, sums) in sums.iter_mut().enumerate() {
                        let four = rows.add(index * product.row_stride + step * 4).cast::<u32>();
                        let four = four.read_unaligned();
                        sums[part][0] = D::step(sums[part][0], four, columns);
                        sums[part][1] = D::step(sums[part][1], four, columns.add(vector_bytes));
                    }
                }
            }
            let columns: [[Columns<D>; 2]; PANELS] = std::array::from_fn(|part| {
                let first = (panel + part) * PANEL + pass / 4;
                [Columns::of(product, first), Columns::of(product, first + D::Vector::LANES)]
            });
            // By value: sums that were borrowed would not stay in registers while they are made.
            for (index, sums) in sums.into_iter().enumerate() {
                for (part, [left, right]) in sums.into_iter().enumerate() {
                    columns[part][0].put(product, row + index, left);
                    columns[part][1].put(product, row + index, right);
                }
            }
        }
        pass += 2 * vector_bytes;
    }
}

/// A vector of columns of a product, with what belongs to them, read once for all rows.
pub(crate) struct Columns<D: Dot> {
    first: usize,
    /// How many of them there are; not all of a panel's need be.
    count: usize,
    scales: D::Columns,
    bias: <D::Vector as Vector>::F32,
}

impl<D: Dot> Columns<D> {
    /// # Safety
    /// As [`compute`]; the columns are a panel's of the product.
    #[inline(always)]
    pub(crate) unsafe fn of(product: &Product, first: usize) -> Self {
        // SAFETY: scales, totals and bias are there for whole panels.
        unsafe {
            Self {
                first,
                count: product.columns.saturating_sub(first),
                scales: D::columns(
                    product.column_scales.wrapping_add(first),
                    product.column_totals.wrapping_add(first),
                ),
                bias: if product.bias.is_null() {
                    D::Vector::splat(0.0)
                } else {
                    D::Vector::load(product.bias.add(first))
                },
            }
        }
    }

    /// Writes one row's sums of them.
    ///
    /// # Safety
    /// As [`compute`]; the row is the product's.
    #[inline(always)]
    pub(crate) unsafe fn put(&self, product: &Product, row: usize, sum: D::Sum) {
        // SAFETY: the result is there for the columns, scales and zeros for the row.
        unsafe {
            let (scale, zero) = (product.row_scales.wrapping_add(row), product.row_zeros.wrapping_add(row));
            let mut value = D::Vector::add(D::finish(sum, self.scales, scale, zero), self.bias);
            let out = product.out.wrapping_add(row * product.out_stride + self.first);
            if self.count >= D::Vector::LANES {
                if product.accumulate {
                    value = D::Vector::add(value, D::Vector::load(out));
                }
                D::Vector::store(out, value);
            } else if self.count > 0 {
                if product.accumulate {
                    value = D::Vector::add(value, D::Vector::load_part(out, self.count, 0.0));
                }
                D::Vector::store_part(out, self.count, value);
            }
        }
    }
}
