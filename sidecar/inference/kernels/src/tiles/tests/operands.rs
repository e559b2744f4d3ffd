//! The operands of a product, and what the loop makes of them.

use super::super::emulated::Emulated;
use super::super::{Multiply, compute};
use super::Shape;
use crate::linear::tests::numbers;
use crate::product::{PANEL, Product, STEP_BYTES};

/// The operands of a product, none larger than it has to be.
pub(super) struct Operands {
    pub(super) shape: Shape,
    pub(super) rows: Vec<u8>,
    pub(super) panels: Vec<u8>,
    /// Scales, zeros and totals; empty where numbers are no bytes.
    pub(super) row_scales: Vec<f32>,
    pub(super) row_zeros: Vec<i32>,
    pub(super) column_scales: Vec<f32>,
    pub(super) column_totals: Vec<i32>,
    pub(super) bias: Vec<f32>,
    /// What is there before.
    pub(super) before: Vec<f32>,
}

impl Operands {
    /// With bytes of rows and of panels by their position.
    pub(super) fn new(
        shape: Shape,
        of_rows: impl FnMut(usize) -> u8,
        of_panels: impl FnMut(usize) -> u8,
    ) -> Self {
        let padded = shape.columns.next_multiple_of(PANEL);
        let bias = if shape.has_bias { numbers(padded, shape.seed ^ 5) } else { Vec::new() };
        Self {
            rows: (0..(shape.rows - 1) * shape.row_stride + shape.steps * 4).map(of_rows).collect(),
            panels: (0..padded / PANEL * shape.steps * STEP_BYTES).map(of_panels).collect(),
            row_scales: Vec::new(),
            row_zeros: Vec::new(),
            column_scales: Vec::new(),
            column_totals: Vec::new(),
            bias,
            before: numbers((shape.rows - 1) * shape.out_stride + shape.columns, shape.seed ^ 6),
            shape,
        }
    }

    /// The product of some of the rows, which goes to `out`, where row 0 is the first of all.
    pub(super) fn product(&self, first: usize, rows: usize, out: &mut [f32]) -> Product {
        let shape = &self.shape;
        let or_null = |numbers: &[f32]| if numbers.is_empty() { std::ptr::null() } else { numbers.as_ptr() };
        let is_bytes = !self.row_scales.is_empty();
        Product {
            rows,
            row_data: self.rows[first * shape.row_stride..].as_ptr(),
            row_stride: shape.row_stride,
            row_scales: if is_bytes { self.row_scales[first..].as_ptr() } else { std::ptr::null() },
            row_zeros: if is_bytes { self.row_zeros[first..].as_ptr() } else { std::ptr::null() },
            panels: self.panels.as_ptr(),
            steps: shape.steps,
            first_panel: shape.panels.0,
            end_panel: shape.panels.1,
            columns: shape.columns,
            column_scales: or_null(&self.column_scales),
            column_totals: if is_bytes { self.column_totals.as_ptr() } else { std::ptr::null() },
            bias: or_null(&self.bias),
            out: out[first * shape.out_stride..].as_mut_ptr(),
            out_stride: shape.out_stride,
            accumulate: shape.accumulate,
            next: std::ptr::null(),
        }
    }

    /// What the loop gives on tiles that are emulated.
    pub(super) fn emulated<M: Multiply>(&self) -> Vec<f32> {
        let mut out = self.before.clone();
        let product = self.product(0, self.shape.rows, &mut out);
        let mut tiles = Emulated::new(&[&self.rows, &self.panels]);
        // SAFETY: the operands are of the product's shape, and vectors are those of plain Rust.
        unsafe { compute::<_, M>(&product, &mut tiles) };
        assert!(!tiles.is_configured(), "registers are let go of");
        out
    }

    /// As [`Operands::emulated`], each row by itself.
    pub(super) fn emulated_alone<M: Multiply>(&self) -> Vec<f32> {
        let mut out = self.before.clone();
        for row in 0..self.shape.rows {
            let product = self.product(row, 1, &mut out);
            // SAFETY: as above.
            unsafe { compute::<_, M>(&product, &mut Emulated::new(&[&self.rows, &self.panels])) };
        }
        out
    }

    /// The four bytes of a step of a row and of a column.
    pub(super) fn step(&self, row: usize, column: usize, step: usize) -> ([u8; 4], [u8; 4]) {
        let shape = &self.shape;
        let four = |bytes: &[u8], at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let panel = column / PANEL * shape.steps + step;
        let place = panel * STEP_BYTES + column % PANEL * 4;
        (four(&self.rows, row * shape.row_stride + step * 4), four(&self.panels, place))
    }

    /// Places of the result, each with its row and column where it is computed, and none where it must stay as it was.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, Option<(usize, usize)>)> {
        let Shape { out_stride, columns, panels, .. } = self.shape;
        let computed = panels.0 * PANEL..columns.min(panels.1 * PANEL);
        (0..self.before.len()).map(move |place| {
            let (row, column) = (place / out_stride, place % out_stride);
            (place, computed.contains(&column).then_some((row, column)))
        })
    }

    /// What comes to a product's number: the bias, and what was there.
    pub(super) fn more(&self, place: usize, column: usize) -> [Option<f32>; 2] {
        [self.bias.get(column).copied(), self.shape.accumulate.then(|| self.before[place])]
    }
}
